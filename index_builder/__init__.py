"""Index builder: from the head of a catalog to a candidate release, with the recall of its index measured."""
