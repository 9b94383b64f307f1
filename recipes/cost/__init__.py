"""What a comparison costs before it is run: tokens, operations, hours, memory and price of each stage. No torch."""
