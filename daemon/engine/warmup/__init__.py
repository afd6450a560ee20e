"""What is computed before anybody asks: in a child that waits for its model, after a load, and while a model rests."""
