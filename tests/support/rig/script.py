"""Runs pgbench scripts from Python, as far as examples/simshop/load needs: \\set, \\if … \\endif, \\gset, SQL in one line.

So the Python load and pgbench run the very same transactions.
"""

import re

_VARIABLE = re.compile(r"(?<!:):([A-Za-z_]\w*)")
_ALLOWED = re.compile(r"^[\d\s+*%()<>=!,.\-]*$")


class Script:
    def __init__(self, path):
        self.steps = []  # (command, text, further)
        with open(path) as f:
            for number, line in enumerate(f, 1):
                line = line.strip()
                if not line or line.startswith("--"):
                    continue
                self.steps.append(self._parse(line, f"{path}:{number}"))

    @staticmethod
    def _parse(line, where):
        word = line.split()[0]
        if word == "\\set":
            _, name, expression = line.split(None, 2)
            return "set", expression, name
        if word == "\\if":
            return "if", line[3:].strip(), None
        if word in ("\\else", "\\endif"):
            return word[1:], "", None
        if line.endswith("\\gset"):
            return "gset", line[: -len("\\gset")].strip(), None
        if line.endswith(";") and not line.startswith("\\"):
            command = line[:-1].strip()
            return ("commit" if command.upper() in ("END", "COMMIT") else "sql"), command, None
        raise ValueError(f"{where}: not understood: {line}")

    def run(self, connection, variables, random, on_commit=lambda variables: None):
        """Runs the script on an autocommit connection; on_commit(variables) is called right before COMMIT is sent."""
        variables = dict(variables)
        active = [True]
        for command, text, name in self.steps:
            if command == "if":
                active.append(active[-1] and bool(evaluate(text, variables, random)))
            elif command == "else":
                active[-1] = active[-2] and not active[-1]
            elif command == "endif":
                active.pop()
            elif active[-1]:
                self._step(command, text, name, connection, variables, random, on_commit)
        return variables

    @staticmethod
    def _step(command, text, name, connection, variables, random, on_commit):
        if command == "set":
            variables[name] = evaluate(text, variables, random)
            return
        if command == "commit":
            on_commit(variables)
        cursor = connection.execute(_substitute(text, variables))
        if command == "gset":
            row = cursor.fetchone()
            variables.update((column.name, value) for column, value in zip(cursor.description, row))


def _substitute(text, variables):
    return _VARIABLE.sub(lambda m: str(variables.get(m[1], m[0])), text)


def evaluate(expression, variables, random):
    """A pgbench expression of integers: + * % - comparisons, and, or, not, random(a, b)."""
    text = _substitute(expression, variables).replace("<>", "!=")
    text = re.sub(r"(?<![<>!=])=(?!=)", "==", text)
    assert _ALLOWED.match(re.sub(r"\b(random|and|or|not)\b", "", text)), f"not understood: {expression}"
    return eval(text, {"__builtins__": {}, "random": random.randint})  # only digits and operators are left
