"""What relates items to each other: what people did and said, and what looks alike but is another product."""
