"""What the client does, without doing any of it: operations yield effects, and a driver carries them out.

An operation is a generator. It yields what is to be done (:mod:`nebula_client._core.effects`), is sent what came of
it, and returns its result. So everything that decides is written once, for threads and for asyncio, and needs no
socket to be looked at.
"""
