from alembic import context

from reporter.state.tables import metadata

# Only `reporter.migrate` runs this: it hands in the open connection and keeps the transaction.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
