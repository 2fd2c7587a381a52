"""The foundation of every service: server, interceptors, errors, health, settings, storage, telemetry.

It knows nothing of workflows. Import the module you need (`from service_kit.tools.clock import Clock`);
nothing is re-exported here, so that a service pays only for what it uses.
"""
