"""What chat templates of different families want: their variables, and messages in the form that they can read."""
