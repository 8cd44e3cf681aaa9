from broker.store.migrations.environment import run

run()
