"""Checks documents against the schemas in schemas/."""


def check_schema(schema, value, root=None, path="document"):
    """Asserts that a document is as its schema says: the part of JSON Schema that ours use."""
    root = root or schema
    if "$ref" in schema:
        return check_schema(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root, path)
    if "const" in schema:
        assert value == schema["const"], path
    if "enum" in schema:
        assert value in schema["enum"], f"{path}: {value}"
    types = schema.get("type", [])
    if types:
        known = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
        assert any(isinstance(value, known[t]) for t in ([types] if isinstance(types, str) else types)), f"{path}: {value!r}"
    if isinstance(value, dict) and "properties" in schema:
        assert not set(schema["required"]) - set(value), path
        for key, item in value.items():
            assert key in schema["properties"], f"{path}.{key}"
            check_schema(schema["properties"][key], item, root, f"{path}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            check_schema(schema["items"], item, root, f"{path}[{index}]")
    return None
