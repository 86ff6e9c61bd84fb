"""Names the constructs that a workflow's source uses, so that a corpus of programs can be checked for completeness.

A construct is a word such as `step:call+args+result`, `call:http.get`, `uses:text.split`, `jump:back` or `key:integer`.
Reads YAML and expressions on its own, by their looks: it must not agree with localcloud's parser by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_STEP_KEYS = (
    "assign", "call", "args", "result", "switch", "for", "parallel", "try", "retry", "except", "steps", "raise",
    "return", "next",
)  # fmt: skip
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_FUNCTION = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\.\w+)*)\s*\(")
_OPERATORS = {
    "//": r"//", "/": r"(?<!/)/(?!/)", "%": "%", "*": r"\*", "-": r"(?<![\w.])-|\s-\s", "+": r"\+",
    "<": "<", ">": ">", "==": "==", "!=": "!=",
    "in": r"\bin\b", "and": r"\band\b", "or": r"\bor\b", "not": r"\bnot\b", "AND": r"\bAND\b",
    "null": r"\bnull\b", "Null": r"\bNull\b", "[]": r"(?<![\w\])])\[",
}  # fmt: skip
_NOT_FUNCTIONS = frozenset({"not", "and", "or", "in", "AND"})
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def constructs_of(source: str) -> set[str]:
    """Return the constructs of a source.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    root = yaml.compose(source, Loader=yaml.CBaseLoader)
    if root is None:
        return set()
    reader = _Reader(_routine_names(root))
    reader.read(root)
    return reader.found


def _routine_names(root: yaml.Node) -> frozenset[str]:
    if isinstance(root, yaml.MappingNode):
        return frozenset(key.value for key, _ in root.value)
    return frozenset()


def _entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _is_expression(text: str) -> bool:
    return text.strip().startswith("${") and text.strip().endswith("}")


class _Reader:
    def __init__(self, routines: frozenset[str]) -> None:
        self.found: set[str] = set()
        self._routines = routines
        self._except_depth = 0
        self._loop_depth = 0
        self._structural: set[int] = set()

    def read(self, root: yaml.Node) -> None:
        self.found.add("source:list" if isinstance(root, yaml.SequenceNode) else "source:routines")
        routines = [root] if isinstance(root, yaml.SequenceNode) else [body for _, body in root.value]
        for routine in routines:
            parts = _entries(routine)
            self._params(parts.get("params"))
            steps = routine if isinstance(routine, yaml.SequenceNode) else parts["steps"]
            names = list(_step_names(steps))
            if len(set(names)) < len(names):
                self.found.add("name:twice")
            self._steps(steps, names)
        for node in _nodes(root):
            self._node(node)

    def _params(self, node: yaml.Node | None) -> None:
        if not isinstance(node, yaml.SequenceNode):
            return
        self.found.add(("params:empty", "params:one")[len(node.value)] if len(node.value) < 2 else "params:many")
        if any(isinstance(item, yaml.MappingNode) for item in node.value):
            self.found.add("params:default")

    def _steps(self, node: yaml.Node, names: list[str]) -> None:
        for item in node.value:
            for name, body in item.value:
                self._structural.add(id(name))
                self._step_name(name.value)
                self._body(body, "step", name.value, names)

    def _step_name(self, name: str) -> None:
        if name in _STEP_KEYS:
            self.found.add("name:keyword")
        if name in self._routines:
            self.found.add("name:routine")
        if "-" in name:
            self.found.add("name:hyphen")
        if re.search(r"[ ?]", name):
            self.found.add("name:words")

    def _body(self, node: yaml.Node, kind: str, name: str, names: list[str]) -> None:
        parts = _entries(node)
        keys = [key for key in _STEP_KEYS if key in parts]
        if keys:
            self.found.add(f"{kind}:{'+'.join(keys)}")
        if "next" in parts:
            self._jump(parts["next"].value, name, names)
        if "call" in parts:
            self._call(parts)
        for assignment in parts["assign"].value if "assign" in parts else ():
            self._assignment(assignment)
        for entry in parts["switch"].value if "switch" in parts else ():
            self._condition(entry, name, names)
        self._loops(parts)
        if "try" in parts:
            self._try(parts, name, names)
        if "steps" in parts:
            self._steps(parts["steps"], names)

    def _condition(self, entry: yaml.Node, name: str, names: list[str]) -> None:
        condition = _entries(entry)["condition"]
        if not _is_expression(condition.value):
            self.found.add("condition:literal")
        self._body(entry, "condition", name, names)

    def _jump(self, target: str, name: str, names: list[str]) -> None:
        if target in ("end", "break", "continue"):
            self.found.add(f"jump:{target}")
            return
        is_back = target in names and name in names and names.index(target) <= names.index(name)
        self.found.add("jump:back" if is_back else "jump:ahead")
        if self._except_depth:
            self.found.add("jump:out-of-except")
        if self._loop_depth:
            self.found.add("jump:in-loop")

    def _call(self, parts: dict[str, yaml.Node]) -> None:
        callee = parts["call"].value
        self.found.add(f"call:{'subworkflow' if callee in self._routines else callee}")
        args = _entries(parts.get("args"))
        if isinstance(parts.get("args"), yaml.SequenceNode):
            self.found.add("args:list")
        if callee.startswith("http."):
            self.found |= {f"http:{key}" for key in args if key not in ("url", "method")}
            if "body" in args and isinstance(args["body"], yaml.ScalarNode):
                self.found.add("http:body-expression" if _is_expression(args["body"].value) else "http:body-text")
            self.found |= {f"auth:{key}" for key in _entries(args.get("auth")) if key != "type"}
            if "auth" in args:
                self.found.add(f"auth:{_entries(args['auth'])['type'].value}")
        elif "query" in args:
            self.found.add("connector:query")
        self.found |= {f"connector_params:{key}" for key in _entries(args.get("connector_params"))}

    def _assignment(self, node: yaml.Node) -> None:
        self._structural.add(id(node.value[0][0]))
        target = node.value[0][0].value
        steps = re.findall(r"\.\w+|\[[^\]]*\]", target)
        self._code(target)
        kinds = ["field" if step.startswith(".") else "element" for step in steps]
        self.found.add("target:" + (">".join(kinds[:2]) if kinds else "variable"))

    def _loops(self, parts: dict[str, yaml.Node]) -> None:
        parallel = _entries(parts.get("parallel"))
        self.found |= {f"parallel:{key}" for key in parallel}
        if parallel and self._loop_depth:
            self.found.add("parallel:nested")
        loop = _entries(parts.get("for") or parallel.get("for"))
        self._loop_depth += 1
        if loop:
            items = loop.get("in") or loop["range"]
            form = "expression" if isinstance(items, yaml.ScalarNode) else "list"
            self.found.add(f"for:{'in' if 'in' in loop else 'range'}-{form}")
            if "index" in loop:
                self.found.add("for:index")
            if self._loop_depth > 1:
                self.found.add("for:nested")
            self._steps(loop["steps"], list(_step_names(loop["steps"])))
        for branch in parallel["branches"].value if "branches" in parallel else ():
            steps = _entries(branch.value[0][1])["steps"]
            self._steps(steps, list(_step_names(steps)))
        self._loop_depth -= 1

    def _try(self, parts: dict[str, yaml.Node], name: str, names: list[str]) -> None:
        body = _entries(parts["try"])
        self.found.add("try:" + "+".join(key for key in _STEP_KEYS if key in body))
        self._body(parts["try"], "try", name, names)
        retry = parts.get("retry")
        if isinstance(retry, yaml.ScalarNode):
            self.found.add(f"retry:{retry.value[2:-1]}")
        elif retry is not None:
            predicate = _entries(retry)["predicate"].value[2:-1]
            self.found.add(f"retry:map:{'subworkflow' if predicate in self._routines else predicate}")
        if "except" in parts:
            self._except_depth += 1
            self._steps(_entries(parts["except"])["steps"], names)
            self._except_depth -= 1

    def _node(self, node: yaml.Node) -> None:
        match node:
            case yaml.ScalarNode():
                self._scalar(node)
            case yaml.MappingNode():
                keys = [key.value for key, _ in node.value if id(key) not in self._structural]
                self.found |= {f"key:{kind}" for kind in map(_key_kind, keys) if kind != "name"}
                if node.flow_style:
                    self.found.add("value:flow-map" if node.value else "value:empty-map")
            case yaml.SequenceNode() if node.flow_style:
                self.found.add("value:flow-list" if node.value else "value:empty-list")

    def _scalar(self, node: yaml.ScalarNode) -> None:
        text = node.value
        if not node.style and text in ("", "null", "Null", "~"):
            self.found.add("value:null" if text else "value:nothing")
        if not _is_expression(text):
            if "${" in text:
                self.found.add("text:inner-expression")
            return
        quoting = {"'": "single-quoted", '"': "double-quoted"}.get(node.style or "", "plain")
        lines = "-lines" if node.start_mark.line != node.end_mark.line else ""
        self.found.add(f"expression:{quoting}{lines}")
        self._code(text.strip()[2:-1])

    def _code(self, text: str) -> None:
        """Note the functions and operators of an expression, or of the left side of an assignment."""
        code = _STRING.sub('""', text)
        for name in _FUNCTION.findall(code):
            if name not in _NOT_FUNCTIONS:
                self.found.add(f"uses:{'subworkflow' if name in self._routines else name}")
        self.found |= {f"op:{name}" for name, form in _OPERATORS.items() if re.search(form, code)}


def _step_names(node: yaml.Node) -> Iterator[str]:
    """Yield the names of the steps that a jump between them may reach, in order of the text."""
    for item in node.value:
        for name, body in item.value:
            yield name.value
            yield from _inner_names(body)


def _inner_names(body: yaml.Node) -> Iterator[str]:
    parts = _entries(body)
    for holder in (parts, _entries(parts.get("try")), _entries(parts.get("except"))):
        if "steps" in holder:
            yield from _step_names(holder["steps"])
        for entry in holder["switch"].value if "switch" in holder else ():
            yield from _inner_names(entry)


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    match node:
        case yaml.SequenceNode():
            for item in node.value:
                yield from _nodes(item)
        case yaml.MappingNode():
            for key, value in node.value:
                yield from _nodes(key)
                yield from _nodes(value)


def _key_kind(text: str) -> str:
    if _is_expression(text):
        return "expression"
    if text.isdecimal():
        return "integer"
    return "name" if _IDENTIFIER.fullmatch(text) else "other"
