"""The profile of a delivery: its rows in, candidate rows out, each with its image measured, judged and packed."""
