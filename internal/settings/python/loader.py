# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Celery settings that hold, whatever the application sets, and when.

Named by ``CELERY_LOADER``, so it is in force wherever the application makes a Celery app: in
workers and beat, and in web processes that only publish (``task_routes`` acts there). One mechanism
for every application: with Django or without, with any namespace or none, old or new names, a
``celeryconfig``, and ``app.conf.update()`` or ``app.conf.x = ...`` afterwards.

How: Celery keeps what is changed at run time in the first of several maps (``conf.changes``) and
looks there before anywhere else. As soon as the configuration is loaded, and before anything else
sees it, that map is replaced by one that knows the resource's values and answers them under every
spelling of their names. What the application writes goes into the same map, underneath.

Not in force for an app made with ``Celery(loader=...)``; ``probe`` reports that. Values that a task
states for itself (``@task(acks_late=False)``) stay.

``task_routes`` of the resource come before the application's own. ``worker_disable_prefetch`` is
dropped where Celery or the broker does not know it, and ``task_reject_on_worker_lost`` always: with
it, a task that kills its worker is run again without end.

Every task that is published says in its header ``memorybudget_published`` when that was: by itself, no
message of Celery's tells for how long it has waited.
"""
import fnmatch
import time

from celery import VERSION
from celery.app.defaults import _TO_NEW_KEY
from celery.signals import before_task_publish
from celery.utils.imports import symbol_by_name

from memorybudget import shared, tier

#: Never ours to turn on.
_FORBIDDEN = ("task_reject_on_worker_lost",)


@before_task_publish.connect(weak=False, dispatch_uid="memorybudget-published")
def stamp(headers=None, **_):
    """Write into a task's headers when it is published, in Unix seconds; a retry is published anew."""
    if isinstance(headers, dict):
        headers["memorybudget_published"] = time.time()


class Glob(str):
    """A pattern of task names. Celery takes a text for a pattern only if it has an asterisk."""

    def __contains__(self, part):
        """Tell that there is an asterisk where Celery looks for one."""
        return part == "*" or super().__contains__(part)


def key_of(pattern):
    """Return the key of a route: a plain name stays what it is."""
    return Glob(pattern) if "?" in pattern else pattern


def wanted():
    """Return (settings, routes) of the resource: those of the tier over those that all tiers share."""
    celery = shared().get("celery") or {}
    settings = {**(celery.get("settings") or {}), **tier("CELERY")}
    routes = {key_of(route["pattern"]): {"queue": route["queue"]} for route in celery.get("taskRoutes") or []}
    return {key: settings[key] for key in settings if key not in _FORBIDDEN}, routes


def merge_routes(ours, theirs):
    """Return `task_routes` with ours first, as a dict where the application's is one.

    Celery looks at a dict's plain names before its patterns, so names that our patterns match go.
    """
    if theirs and not isinstance(theirs, dict):
        return [ours, *(theirs if isinstance(theirs, (list, tuple)) else [theirs])]
    rest = {name: route for name, route in (theirs or {}).items()
            if not isinstance(name, str) or not any(fnmatch.fnmatchcase(name, ours_) for ours_ in ours)}
    return {**ours, **rest}


def prefetch_can_be_disabled(conf):
    """Tell whether `worker_disable_prefetch` works here: Celery 5.6 and a Redis broker."""
    transport = str(conf.broker_read_url or "").partition(":")[0]
    return VERSION[:2] >= (5, 6) and transport in ("redis", "rediss", "sentinel")


class Enforced(dict):
    """The map of run-time changes, in which the resource's values stand above all others."""

    def __init__(self, conf, settings, routes):
        """Take the place of `conf.changes`; `settings` and `routes` are the resource's."""
        super().__init__(conf.changes)
        self.conf, self.settings, self.routes = conf, settings, routes
        self._merged = (None, None)

    def __reduce__(self):
        """Pickle as the plain changes of the application: the other side has its own loader."""
        return dict, (dict(dict.items(self)),)

    def own(self, key):
        """Return what the application says for a setting."""
        conf = self.conf
        changes = dict(dict.items(self))
        view = type(conf)(changes, conf.maps[1:], keys=conf.__dict__.get("_keys"), prefix=conf.prefix)
        return view.get(key)

    def canonical(self, key):
        """Return the new, lower-case name of a setting without its prefix, or None if not ours."""
        if not isinstance(key, str):
            return None
        prefix = (self.conf.prefix or "").lower()
        name = _TO_NEW_KEY.get(key, key).lower()
        if prefix and name.startswith(prefix):
            name = name[len(prefix):]
        if name == "task_routes":
            return name if self.routes else None
        if name not in self.settings:
            return None
        if name == "worker_disable_prefetch" and not prefetch_can_be_disabled(self.conf):
            return None
        return name

    def merged_routes(self):
        """Return the merged routes; one object as long as the application's are one object."""
        theirs = self.own("task_routes")
        if self._merged[1] is None or self._merged[0] is not theirs:
            self._merged = (theirs, merge_routes(self.routes, theirs))
        return self._merged[1]

    def __getitem__(self, key):
        """Return the resource's value where there is one, else the application's change."""
        name = self.canonical(key)
        if name is None:
            return super().__getitem__(key)
        return self.merged_routes() if name == "task_routes" else self.settings[name]

    def __contains__(self, key):
        """Tell whether the setting is stated here."""
        return self.canonical(key) is not None or super().__contains__(key)

    def get(self, key, default=None):
        """Return the value in force here, or `default`."""
        return self[key] if key in self else default

    def keys(self):
        """Return the names stated here, those of the resource under their new names."""
        ours = {key: None for key in [*self.settings, "task_routes"] if self.canonical(key)}
        return {**dict.fromkeys(dict.keys(self)), **ours}.keys()

    def __iter__(self):
        """Iterate over the names stated here."""
        return iter(self.keys())

    def __len__(self):
        """Return the number of names stated here."""
        return len(self.keys())


def enforce(conf):
    """Put the resource's values over a loaded configuration. Does nothing the second time."""
    settings, routes = wanted()
    if isinstance(conf.changes, Enforced) or not (settings or routes):
        return
    enforced = Enforced(conf, settings, routes)
    conf.__dict__["changes"] = conf.maps[0] = enforced


def in_force(app):
    """Tell whether the resource's values stand over this app's configuration."""
    app.conf.finalize()
    return isinstance(app.conf.changes, Enforced)


def before_all_others(signal):
    """Make `on_after_configure` enforce first, since its receivers may bind tasks."""
    if getattr(signal, "_memorybudget", False):
        return
    original = signal.send

    def send(sender, source=None, **named):
        """Enforce, then tell the application's receivers."""
        enforce(source)
        return original(sender, source=source, **named)

    signal.send, signal._memorybudget = send, True


class Hook:
    """Part of the loader: notices that the configuration is being loaded."""

    @property
    def conf(self):
        """Return the application's configuration, the loader's own way."""
        # An app has no signals yet when its loader is made, but has them when it asks for this.
        if self.app.on_after_configure is not None:
            before_all_others(self.app.on_after_configure)
        return super().conf


def base_of(app):
    """Return the loader class that the app would have without CELERY_LOADER."""
    default = "celery.loaders.default:Loader" if app.main == "default" else "celery.loaders.app:AppLoader"
    return symbol_by_name(type(app).loader_cls or default,
                          {"app": "celery.loaders.app:AppLoader", "default": "celery.loaders.default:Loader"})


def Loader(app, **kwargs):  # noqa: N802 - Celery expects the name of a class
    """Return the app's own loader with the hook in front; what CELERY_LOADER names."""
    return type("Loader", (Hook, base_of(app)), {})(app, **kwargs)
