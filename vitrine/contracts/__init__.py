"""The contracts between stages: what each immutable object holds. Importing them imports no framework."""
