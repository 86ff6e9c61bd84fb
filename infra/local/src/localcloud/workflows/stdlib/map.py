"""`map`: lookup, deletion and merging, always on copies.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/map
"""

from __future__ import annotations

from localcloud.workflows.functions.arguments import map_of, text_of, wrong_type
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value


def _get(entries: Value, keys: Value) -> Value:
    match keys:
        case str():
            path = [keys]
        case list() if all(type(key) is str for key in keys):
            path = keys
        case _:
            raise wrong_type("keys", keys, "a string or a list of strings")
    value = entries
    for key in path:
        if type(value) is not dict or key not in value:
            return None
        value = value[key]
    return value


def _delete(entries: Value, key: Value) -> dict[str, Value]:
    source, unwanted = map_of("map", entries), text_of("key", key)
    return {name: value for name, value in source.items() if name != unwanted}


def _merge(first: Value, second: Value) -> dict[str, Value]:
    return {**map_of("first", first), **map_of("second", second)}


def _merge_nested(first: Value, second: Value) -> dict[str, Value]:
    merged = dict(map_of("first", first))
    for key, value in map_of("second", second).items():
        present = merged.get(key)
        both_maps = type(present) is dict and type(value) is dict
        merged[key] = _merge_nested(present, value) if both_maps else value
    return merged


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("map.get", parameters("map", "keys"), _get),
    PureFunction("map.delete", parameters("map", "key"), _delete),
    PureFunction("map.merge", parameters("first", "second"), _merge),
    PureFunction("map.merge_nested", parameters("first", "second"), _merge_nested),
)
