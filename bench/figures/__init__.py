"""The figures of bench/run: one module each kind, one function each figure (see __main__)."""
