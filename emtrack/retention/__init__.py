"""For how long what is kept, what is held, and what goes."""
