"""The ingest stage: deliveries, image profiles and packs, validation, embedding. Importing it imports no Spark."""
