"""The rules of the game: who may ask what, who has won, and what it cost."""
