"""Ways to pay. ``registry`` knows them all, ``driver`` says what one must do, ``facts`` what it may say."""
