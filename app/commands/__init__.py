"""The nouns of the command line, one module each. `app.main.NOUNS` is their literal table.

Rules: a module imports only Typer and `app.console` at its top, whatever else inside its functions; it reads
arguments, calls the parts and shows what they return. No decision is made here.
"""
