"""Files on local disk: scratch folders, and files that are either whole or not there."""
