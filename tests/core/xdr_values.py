"""Random XDR of any type of the schema, written from the schema alone."""

from scripts.xdr_walker.schema import Array, Enum, Named, Opaque, Optional, Primitive, Struct, Union

MOST_ITEMS = 3
ROOM = 400
"""Values begun before arrays stay empty and optionals absent, so that recursion ends."""


class Values:
    """Writes values. ``fixed`` gives the XDR of types and of fields (``Struct.field``), ``arms`` a case of unions."""

    def __init__(self, schema, random, fixed=None, arms=None):
        self.schema = schema
        self.random = random
        self.fixed = fixed or {}
        self.arms = arms or {}
        self._made = 0

    def value(self, name):
        """Return a value of a named type as XDR."""
        self._made = 0
        return self._named(name)

    def _named(self, name):
        return self._type(self.schema.types[name], name)

    def _type(self, type_, name):
        self._made += 1
        if name in self.fixed:
            return self.fixed[name]
        match type_:
            case Named(below):
                return self._named(below)
            case Primitive("bool"):
                return self._number(self.random.randrange(2), 4)
            case Primitive(kind):
                return self.random.randbytes(8 if kind.endswith("hyper") else 4)
            case Enum(members):
                return self._number(self.schema.number(self.random.choice(members)[1]), 4)
            case Opaque(size, True):
                return self.random.randbytes(self.schema.number(size))
            case Opaque(size):
                size = self.random.randrange(min(self.schema.number(size), 40) + 1)
                return self._number(size, 4) + self.random.randbytes(size) + bytes(-size % 4)
            case Array(item, size, True):
                return b"".join(self._type(item, name) for _ in range(self.schema.number(size)))
            case Array(item, size):
                count = 0 if self._made > ROOM else self.random.randrange(min(self.schema.number(size), MOST_ITEMS) + 1)
                return self._number(count, 4) + b"".join(self._type(item, name) for _ in range(count))
            case Optional(item):
                there = self._made <= ROOM and self.random.random() < 0.5
                return self._number(there, 4) + (self._type(item, name) if there else b"")
            case Struct(fields):
                return b"".join(self._type(below, f"{name}.{field}") for field, below in fields)
            case Union(_, _, arms):
                arm, case = self._arm(name, arms)
                content = b"" if arm.type is None else self._type(arm.type, f"{name}.{arm.name}")
                return self._number(self.schema.number(case), 4) + content
        raise AssertionError(type_)

    def _arm(self, name, arms):
        if name in self.arms:
            return next((arm, case) for arm in arms for case in arm.cases if case == self.arms[name])
        if self._made > ROOM:
            leaves = [arm for arm in arms if arm.type is None or isinstance(arm.type, Primitive)]
            arms = leaves or arms
        arm = self.random.choice(arms)
        return arm, self.random.choice(arm.cases)

    @staticmethod
    def _number(number, size):
        return number.to_bytes(size, "big", signed=number < 0)


def unions(schema):
    """Yield each union's name, nested ones as ``Parent.field``, and the union."""

    def below(name, type_):
        match type_:
            case Union(_, _, arms):
                yield name, type_
                for arm in arms:
                    if arm.type is not None:
                        yield from below(f"{name}.{arm.name}", arm.type)
            case Struct(fields):
                for field, inner in fields:
                    yield from below(f"{name}.{field}", inner)
            case Array(item) | Optional(item):
                yield from below(name, item)

    for name, type_ in schema.types.items():
        yield from below(name, type_)
