"""Three-valued evaluation of policy conditions: true, false, or it depends.

`compile_expr` turns a typed tree into a function of a `Scene`. What a scene
does not know is `Unknown` and carries the names it stands for; what fails is
`FAILED`. It covers the whole language that `compile_bundle` admits, and a fuzz
test holds it to Cedar's own evaluator.

INVARIANT: when the answer is a plain value, evaluating with any values in place
of the unknowns gives that value or an error. An error denies the call, so
*false* means "this permit never helps" and *true* "this forbid always bites".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from cedarpy import pst

from gateway_policies.entities import ACTION_ENTITIES, Entity, Uid
from gateway_policies.kinds import ACTION_OF_TYPE
from gateway_policies.operators import BINARY, UNARY, matches
from gateway_policies.values import FAILED, Failed, Plain, Unknown, Value, depends_on, unknown


def _no_entities() -> dict[Uid, Entity]:
    return {}


def _nothing() -> dict[str, Plain]:
    return {}


@dataclass(frozen=True, slots=True)
class Scene:
    """What a condition is evaluated against.

    context   a record, with `Unknown` wherever something is not known
    standing  further entities that conditions may name or reach
    assumed   values of members of unknowns, by full path (`resource.risk`)
    is_open   entities that are not here may exist: what is asked of them is unknown
    """

    principal: Entity | Unknown
    resource: Entity | Unknown
    context: Mapping[str, Value] | Unknown
    standing: Mapping[Uid, Entity] = field(default_factory=_no_entities)
    assumed: Mapping[str, Plain] = field(default_factory=_nothing)
    is_open: bool = False

    def entity(self, uid: Uid) -> Entity | None:
        """Return the entity of that name, or None."""
        for entity in (self.principal, self.resource):
            if isinstance(entity, Entity) and entity.uid == uid:
                return entity
        return self.standing.get(uid) or ACTION_ENTITIES.get(uid)

    def action(self) -> Value:
        """Return the action, which follows from what it is on."""
        types = frozenset((self.resource.uid.type,)) if isinstance(self.resource, Entity) else self.resource.types
        actions = frozenset(ACTION_OF_TYPE[name] for name in types or ())
        return Uid("Action", *actions) if len(actions) == 1 else unknown("action")


Code = Callable[[Scene], Value]


def compile_clauses(tree: pst.Template) -> Code:
    """Return the condition of a policy: every `when` holds and no `unless` does."""
    parts = [compile_expr(conjunct) for conjunct in conjuncts(tree)]

    def condition(scene: Scene) -> Value:
        value: Value = True
        for part in parts:
            value = both(value, part, scene)
        return value

    return condition


def conjuncts(tree: pst.Template) -> list[pst.Expr]:
    """Return the condition of a policy as a list, all of which must hold, in order."""
    found: list[pst.Expr] = []
    for clause in tree.clauses:
        if isinstance(clause, pst.When):
            _split(clause.expr, found)
        else:
            found.append(pst.UnaryOp("not", clause.expr))
    return found


def _split(expr: pst.Expr, found: list[pst.Expr]) -> None:
    if isinstance(expr, pst.BinaryOp) and expr.op == "and":
        _split(expr.left, found)
        _split(expr.right, found)
    else:
        found.append(expr)


def both(left: Value, right: Code, scene: Scene) -> Value:
    """Return `left && right`, evaluating `right` only when it matters."""
    if left is False or isinstance(left, Failed):
        return left
    value = right(scene)
    if left is True:
        return value
    if value is False or isinstance(value, Failed):
        return False
    return _join(left, value)


def compile_expr(expr: pst.Expr) -> Code:
    """Return a function that evaluates `expr` in a scene.

    Raises `ValueError` for what the admitted language does not have (slots,
    entity tags, extension types).
    """
    match expr:
        case pst.BoolLit(value) | pst.LongLit(value) | pst.StringLit(value):
            return _constant(value)
        case pst.EntityLit(value):
            return _constant(uid_of(value))
        case pst.Var(name):
            return _variable(name)
        case pst.UnaryOp() | pst.BinaryOp():
            return _compile_operator(expr)
        case pst.IfThenElse():
            return _if(compile_expr(expr.cond), compile_expr(expr.then_expr), compile_expr(expr.else_expr))
        case pst.Set(elements):
            return _set([compile_expr(element) for element in elements])
        case pst.Record(fields):
            return _record({name: compile_expr(member) for name, member in fields.items()})
        case _:
            return _compile_access(expr)


def uid_of(uid: pst.EntityUid) -> Uid:
    """Return our name for Cedar's."""
    return Uid(str(uid.type), uid.id)


def _compile_operator(expr: pst.UnaryOp | pst.BinaryOp) -> Code:
    if isinstance(expr, pst.UnaryOp):
        unary = UNARY.get(expr.op)
        if unary is None:
            raise ValueError(f"`{expr.op}` is not supported")
        return _strict_one(compile_expr(expr.arg), unary)
    left, right = compile_expr(expr.left), compile_expr(expr.right)
    if expr.op == "and":
        return lambda scene: both(left(scene), right, scene)
    if expr.op == "or":
        return _or(left, right)
    if expr.op == "in":
        return _in(left, right)
    binary = BINARY.get(expr.op)
    if binary is None:
        raise ValueError(f"`{expr.op}` is not supported")
    return _strict_two(left, right, binary)


def _compile_access(expr: pst.Expr) -> Code:
    match expr:
        case pst.GetAttr(base, attr):
            return _get(compile_expr(base), attr)
        case pst.HasAttr(base, (attr,)):
            return _has(compile_expr(base), attr)
        case pst.Like(base, pattern):
            return _like(compile_expr(base), pattern)
        case pst.Is(base, entity_type, in_expr):
            code = _is(compile_expr(base), str(entity_type))
            if in_expr is None:
                return code
            inside = _in(compile_expr(base), compile_expr(in_expr))
            return lambda scene: both(code(scene), inside, scene)
        case _:
            raise ValueError("slots and chained `has` are not supported")


def _constant(value: Value) -> Code:
    return lambda _: value


def _variable(name: pst.VarName) -> Code:
    if name == "principal":
        return lambda scene: _ref(scene.principal)
    if name == "resource":
        return lambda scene: _ref(scene.resource)
    if name == "action":
        return lambda scene: scene.action()
    return lambda scene: scene.context


def _ref(entity: Entity | Unknown) -> Value:
    return entity.uid if isinstance(entity, Entity) else entity


def _or(left: Code, right: Code) -> Code:
    def either(scene: Scene) -> Value:
        first = left(scene)
        if first is True or isinstance(first, Failed):
            return first
        second = right(scene)
        if first is False:
            return second
        if second is True or isinstance(second, Failed):
            return True
        return _join(first, second)

    return either


def _if(cond: Code, then: Code, otherwise: Code) -> Code:
    def choose(scene: Scene) -> Value:
        chosen = cond(scene)
        if isinstance(chosen, Failed):
            return chosen
        if not isinstance(chosen, Unknown):
            return then(scene) if chosen else otherwise(scene)
        yes, no = then(scene), otherwise(scene)
        if isinstance(yes, Failed):
            return no
        if isinstance(no, Failed) or (yes == no and not depends_on(yes)):
            return yes
        return _join(chosen, yes, no)

    return choose


def _join(*values: Value) -> Unknown:
    return Unknown(frozenset[str]().union(*(depends_on(value) for value in values)))


def _set(elements: list[Code]) -> Code:
    def build(scene: Scene) -> Value:
        values = [element(scene) for element in elements]
        if FAILED in values:
            return FAILED
        if any(isinstance(value, Unknown) for value in values):
            return _join(*values)
        if any(isinstance(value, Mapping) for value in values):
            return _join(*values)  # a set of records is legal, and not worth deciding here
        return frozenset(cast("list[Plain]", values))

    return build


def _record(members: dict[str, Code]) -> Code:
    def build(scene: Scene) -> Value:
        values = {name: member(scene) for name, member in members.items()}
        return FAILED if FAILED in values.values() else values

    return build


def _get(base: Code, attr: str) -> Code:
    def get(scene: Scene) -> Value:
        value = base(scene)
        if isinstance(value, Unknown):
            return _member(scene, value, attr)
        if isinstance(value, Uid):
            entity = scene.entity(value)
            return _absent(scene, FAILED) if entity is None else entity.attrs.get(attr, FAILED)
        if isinstance(value, Mapping):
            return value.get(attr, FAILED)
        return FAILED

    return get


def _absent(scene: Scene, answer: Value) -> Value:
    """Return what Cedar answers about an entity that does not exist, unless it may."""
    return Unknown() if scene.is_open else answer


def _member(scene: Scene, value: Unknown, attr: str) -> Value:
    if not value.path:
        return Unknown(value.depends)
    path = f"{value.path}.{attr}"
    return scene.assumed.get(path, unknown(path))


def _has(base: Code, attr: str) -> Code:
    def has(scene: Scene) -> Value:
        value = base(scene)
        if isinstance(value, Unknown):
            return Unknown(frozenset((f"{value.path}.{attr}",)) if value.path else value.depends)
        if isinstance(value, Uid):
            entity = scene.entity(value)
            return _absent(scene, False) if entity is None else attr in entity.attrs
        return attr in value if isinstance(value, Mapping) else FAILED

    return has


def _is(base: Code, entity_type: str) -> Code:
    def test(scene: Scene) -> Value:
        value = base(scene)
        if isinstance(value, Unknown):
            if value.types is not None and (entity_type not in value.types or len(value.types) == 1):
                return entity_type in value.types
            return Unknown(value.depends)
        return value.type == entity_type if isinstance(value, Uid) else FAILED

    return test


def _in(left: Code, right: Code) -> Code:
    def test(scene: Scene) -> Value:
        value, group = left(scene), right(scene)
        if isinstance(value, Failed) or isinstance(group, Failed):
            return FAILED
        if isinstance(value, Unknown) or isinstance(group, Unknown):
            return _join(value, group)
        if not isinstance(value, Uid):
            return FAILED
        groups: frozenset[Plain] = frozenset((group,)) if isinstance(group, Uid) else _as_set(group)
        if value in groups:
            return True
        entity = scene.entity(value)
        return _absent(scene, False) if entity is None else not groups.isdisjoint(entity.ancestors)

    return test


def _as_set(value: Value) -> frozenset[Plain]:
    return value if isinstance(value, frozenset) else frozenset()


def _like(base: Code, pattern: tuple[pst.PatternElem, ...]) -> Code:
    parts = [""]
    for element in pattern:
        if isinstance(element, pst.Char):
            parts[-1] += element.value
        else:
            parts.append("")
    return _strict_one(base, lambda value: FAILED if not isinstance(value, str) else matches(value, parts))


def _strict_one(arg: Code, operator: Callable[[Plain], Value]) -> Code:
    def apply(scene: Scene) -> Value:
        value = arg(scene)
        if isinstance(value, Failed):
            return value
        return Unknown(value.depends) if isinstance(value, Unknown) else operator(value)

    return apply


def _strict_two(left: Code, right: Code, operator: Callable[[Plain, Plain], Value]) -> Code:
    def apply(scene: Scene) -> Value:
        first, second = left(scene), right(scene)
        if isinstance(first, Failed) or isinstance(second, Failed):
            return FAILED
        if isinstance(first, Unknown) or isinstance(second, Unknown) or depends_on(first) or depends_on(second):
            return _join(first, second)
        return operator(first, second)

    return apply
