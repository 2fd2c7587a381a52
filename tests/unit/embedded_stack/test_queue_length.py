"""Jobs of all queues that the workers serve are counted together."""

from embedded_stack.queue_length import QueueLength
from redis.asyncio import Redis


async def test_the_jobs_of_every_served_queue_count(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.rpush("workflow:execution:queue", *range(3))  # type: ignore[misc]
        await redis.rpush("workflow:execution:queue:gpu", *range(40))  # type: ignore[misc]
        await redis.rpush("workflow:execution:queue:mail", *range(500))  # type: ignore[misc]
    async with QueueLength(redis_url) as default, QueueLength(redis_url, ["default", "gpu"]) as both:
        assert await default.read() == 3
        assert await both.read() == 43


async def test_a_redis_that_does_not_answer_has_no_length() -> None:
    async with QueueLength("redis://127.0.0.1:1/0", ["gpu"]) as length:
        assert await length.read() is None
