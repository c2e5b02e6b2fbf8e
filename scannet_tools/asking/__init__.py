"""Makes questions from a scan's annotation: words.py knows what things are called, uses.py what they are for,
relations.py where they are, asker.py puts the questions together.

Annotators name the same thing in different ways and leave small things out. So a thing is asked for by name only where
nothing else in the scan could be meant, and something is called absent only where it is large and of a sort that
annotators do not leave out.
"""
