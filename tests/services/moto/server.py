#!/usr/bin/env python3
"""moto's server with what it lacks and a node's start and drain need.

* Lifecycle hooks hold instances (``Pending:Wait``, ``Terminating:Wait``) until they are completed, or until their
  heartbeats stop and the default result applies.
* Each instance has a metadata service of version 2 at ``/imds/<instance id>/latest/...``: identity, user data, tags,
  role credentials, the target lifecycle state. Tests add what the platform would (spot notices) under
  ``/control/<instance id>/...``.
* The instances of a group are spread over its subnets, and only those in service are registered with its target groups.
* ``PUT /clock`` with a number of seconds lets them pass at once: what is overdue then is done before the answer.
* Requests are served one at a time: moto's back ends lose updates of threads.

A VPC may lie in 127.0.0.0/8, which AWS would refuse: then nodes can bind the addresses of their instances.

Usage: ``server.py HOST PORT``, with the Python whose environment has ``moto[server]`` (``tests/install``).
"""

import functools
import itertools
import sys
import threading
import time
from dataclasses import dataclass

from moto.autoscaling import models, responses
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.core.responses import EmptyResult
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

from clock import CLOCK
from metadata import Metadata

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
PENDING_WAIT = "Pending:Wait"
TERMINATING_WAIT = "Terminating:Wait"

# A lifecycle action ends after 100 heartbeat time-outs or 48 hours, whatever is sooner.
MOST_HEARTBEATS = 100
LONGEST_WAIT_SECONDS = 48 * 3600
TICK_SECONDS = 0.1

LOCK = threading.RLock()


@dataclass
class Action:
    """A lifecycle action under way: an instance held by a hook."""

    hook: models.LifecycleHook
    deadline: float
    last_deadline: float

    @classmethod
    def begin(cls, hook):
        """Holds from now on."""
        patience = int(hook.heartbeat_timeout)
        now = CLOCK.now()
        longest = min(MOST_HEARTBEATS * patience, LONGEST_WAIT_SECONDS)
        return cls(hook, now + patience, now + longest)

    def heartbeat(self):
        """Another time-out from now, up to the end."""
        patience = int(self.hook.heartbeat_timeout)
        self.deadline = min(CLOCK.now() + patience, self.last_deadline)


# By the name of the group and the id of the instance.
ACTIONS: dict[tuple[str, str], Action] = {}


def replaces(owner, name):
    """Puts a function in the place of a method; its first argument is what was there."""

    def install(function):
        original = getattr(owner, name, None)

        @functools.wraps(function)
        def method(*args, **kwargs):
            return function(original, *args, **kwargs)

        setattr(owner, name, method)
        return function

    return install


def groups():
    """All groups of all accounts and regions."""
    for regions in models.autoscaling_backends.values():
        for backend in regions.values():
            yield from backend.autoscaling_groups.values()


def hook_of(group, transition):
    """The group's hook for a transition."""
    hooks = group.autoscaling_backend.lifecycle_hooks.values()
    mine = (hook for hook in hooks if hook.auto_scaling_group_name == group.name)
    return next((hook for hook in mine if hook.lifecycle_transition == transition), None)


def hold(group, state, transition):
    """Holds an instance if there is a hook for that."""
    hook = hook_of(group, transition)
    if hook:
        state.lifecycle_state = PENDING_WAIT if transition == LAUNCHING else TERMINATING_WAIT
        ACTIONS[group.name, state.instance.id] = Action.begin(hook)


def finish(group, state, result):
    """Ends an action: a launch that may continue is in service, all else is terminated."""
    hook = ACTIONS.pop((group.name, state.instance.id)).hook
    is_launch = hook.lifecycle_transition == LAUNCHING
    if is_launch and result == "CONTINUE":
        state.lifecycle_state = "InService"
        group.autoscaling_backend.update_attached_target_groups(group.name)
        return
    group.instance_states.remove(state)
    group.autoscaling_backend.ec2_backend.terminate_instances([state.instance.id])
    if is_launch:
        group.set_desired_capacity(group.desired_capacity)


def end_overdue_actions():
    """Applies the default result where no heartbeat came."""
    now = CLOCK.now()
    for group in list(groups()):
        for state in list(group.instance_states):
            action = ACTIONS.get((group.name, state.instance.id))
            if action and now > action.deadline:
                finish(group, state, action.hook.default_result)


def tick():
    """Looks for what is overdue, for ever."""
    while True:
        time.sleep(TICK_SECONDS)
        with LOCK:
            end_overdue_actions()


# What moto does otherwise.


@replaces(models.FakeAutoScalingGroup, "active_instances")
def active_instances(_original, self):
    """Capacity counts launches that are held, and no terminations that are."""
    return [s for s in self.instance_states if s.lifecycle_state in ("InService", PENDING_WAIT)]


NEXT_SUBNET = itertools.count()


@replaces(models.FakeAutoScalingGroup, "replace_autoscaling_group_instances")
def launch(original, self, count, tags):
    """Launches one at a time, round robin over the subnets, each under the launch hook."""
    subnets = self.vpc_zone_identifier
    for _ in range(count):
        before = {state.instance.id for state in self.instance_states}
        if subnets:
            choices = subnets.split(",")
            self.vpc_zone_identifier = choices[next(NEXT_SUBNET) % len(choices)]
        try:
            original(self, 1, dict(tags))
        finally:
            self.vpc_zone_identifier = subnets
        for state in self.instance_states:
            if state.instance.id not in before:
                hold(self, state, LAUNCHING)


@replaces(models.FakeAutoScalingGroup, "set_desired_capacity")
def set_desired_capacity(original, self, wanted):
    """Scaling in waits for the termination hook; without one it is moto's."""
    capacity = self.min_size if wanted is None else wanted
    surplus = len(self.active_instances()) - (capacity or 0)
    if surplus <= 0 or not hook_of(self, TERMINATING):
        original(self, wanted)
        return
    self.desired_capacity = capacity
    unprotected = [s for s in self.active_instances() if not s.protected_from_scale_in]
    for state in unprotected[:surplus]:
        ACTIONS.pop((self.name, state.instance.id), None)
        hold(self, state, TERMINATING)
    self.autoscaling_backend.update_attached_target_groups(self.name)


@replaces(models.AutoScalingBackend, "terminate_instance")
def terminate_instance(original, self, instance_id, should_decrement):
    """Terminating one instance waits for the hook too."""
    members = ((g, s) for g in self.autoscaling_groups.values() for s in g.instance_states)
    group, state = next((g, s) for g, s in members if s.instance.id == instance_id)
    if not hook_of(group, TERMINATING):
        return original(self, instance_id, should_decrement)
    capacity = group.desired_capacity
    ACTIONS.pop((group.name, instance_id), None)
    hold(group, state, TERMINATING)
    if should_decrement:
        group.desired_capacity -= 1
    else:
        group.set_desired_capacity(capacity)
    self.update_attached_target_groups(group.name)
    return models.TerminateInstanceActivity(state.instance, capacity)


@replaces(models.AutoScalingBackend, "update_attached_target_groups")
def update_attached_target_groups(original, self, name):
    """Registers what is in service, nothing else."""
    group = self.autoscaling_groups[name]
    everything = group.instance_states
    group.instance_states = [s for s in everything if s.lifecycle_state == "InService"]
    try:
        original(self, name)
    finally:
        group.instance_states = everything


@replaces(models.LifecycleHook, "__init__")
def lifecycle_hook(original, self, *args, **kwargs):
    """A hook without the role and the target that moto invents."""
    original(self, *args, **kwargs)
    self.role_arn = self.notification_target_arn = None


@replaces(models.FakeScalingPolicy, "__init__")
def scaling_policy(original, self, *args, **kwargs):
    """A policy is enabled, and predictive only if it is."""
    original(self, *args, **kwargs)
    self.enabled = True
    self.predictive_scaling_configuration = self.predictive_scaling_configuration or None


@replaces(responses.AutoScalingResponse, "create_auto_scaling_group")
def create_auto_scaling_group(original, self):
    """The hooks of the request hold the first instances already."""
    for hook in self._get_param("LifecycleHookSpecificationList") or []:
        self.autoscaling_backend.create_lifecycle_hook(
            name=hook["LifecycleHookName"],
            as_name=self._get_param("AutoScalingGroupName"),
            transition=hook["LifecycleTransition"],
            timeout=hook.get("HeartbeatTimeout"),
            result=hook.get("DefaultResult"),
        )
    return original(self)


class NoActiveAction(AutoscalingClientError):
    """Nothing is held."""

    code = "ValidationError"


def held(request):
    """The group, the member and the action that a request is about."""
    name = request._get_param("AutoScalingGroupName")
    instance_id = request._get_param("InstanceId")
    group = request.autoscaling_backend.autoscaling_groups.get(name)
    action = ACTIONS.get((name, instance_id))
    if not group or not action or action.hook.name != request._get_param("LifecycleHookName"):
        message = f"No active Lifecycle Action found with instance ID {instance_id}"
        raise NoActiveAction("ValidationError", message)
    state = next(s for s in group.instance_states if s.instance.id == instance_id)
    return group, state, action


@replaces(responses.AutoScalingResponse, "complete_lifecycle_action")
def complete_lifecycle_action(_original, self):
    """CompleteLifecycleAction."""
    group, state, _ = held(self)
    finish(group, state, self._get_param("LifecycleActionResult") or "ABANDON")
    return EmptyResult()


@replaces(responses.AutoScalingResponse, "record_lifecycle_action_heartbeat")
def record_lifecycle_action_heartbeat(_original, self):
    """RecordLifecycleActionHeartbeat."""
    _, _, action = held(self)
    action.heartbeat()
    return EmptyResult()


def lifecycle_state(instance_id):
    """The state of a group's member; ``None`` if it is none."""
    states = (s for group in groups() for s in group.instance_states)
    return next((s.lifecycle_state for s in states if s.instance.id == instance_id), None)


def main(host, port):
    """Serves until the process ends."""
    apis = DomainDispatcherApplication(create_backend_app)
    metadata = Metadata(lifecycle_state)

    def advance(environ, start_response):
        CLOCK.advance(float(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        end_overdue_actions()
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    def serve(environ, start_response):
        with LOCK:
            if environ["PATH_INFO"] == "/clock":
                return advance(environ, start_response)
            if environ["PATH_INFO"].startswith(("/imds/", "/control/")):
                return metadata(environ, start_response)
            return list(apis(environ, start_response))

    threading.Thread(target=tick, daemon=True).start()
    run_simple(host, port, serve, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
