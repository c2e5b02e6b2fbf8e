"""Asks a model questions about whole scenes and scores what it says, in the pictures and on the mesh.

The course: `run` gives every process its scenes, `scene` asks about one of them, `rows` keeps what came out, `summary`
makes figures of all rows, `report` makes a page of them.
"""
