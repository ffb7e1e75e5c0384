"""Object storage in an S3 bucket.

That a key is written once rests on the server: every object is created by a request with `If-None-Match: *`. A server
that ignores the condition would let one gateway overwrite another's evidence, so it is refused at the start.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider, StaticProvider
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.sse import Sse, SseKMS, SseS3
from minio.time import to_amz_date
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from axiom.storage.keys import check_key
from axiom.storage.store import (
    CHUNK_BYTES,
    ConflictError,
    CorruptError,
    MissingError,
    ObjectStat,
    PutResult,
    StorageError,
    UnavailableError,
    UnsuitableError,
    digest_of,
)

log = logging.getLogger(__name__)

ACCESS_KEY_FILE, SECRET_KEY_FILE = "accessKey", "secretKey"
"""Names of the files in a folder of credentials, as of the keys in a Secret."""
_DIGEST_METADATA = "axiom-sha256"
_DIGEST_HEADER = f"x-amz-meta-{_DIGEST_METADATA}"
_PAGE = 1000
_PROBE = b"Axiom wrote this to learn whether this store honours If-None-Match. It may be deleted.\n"
_PROBE_KEY = "axiom-probe/conditional-{}"
_ENCRYPTION_HEADER = "x-amz-server-side-encryption"
_LARGE_PROBE_KEY = "axiom-probe/conditional-multipart"
_TOLERATED_SKEW = timedelta(minutes=1)
_SMALLEST_PART = 5 * 2**20
"""Bytes; what S3 allows."""
# NoSuchUpload: a request that completes an upload was delivered twice, and its second answer came; a new upload finds the object
# BadDigest, XAmzContentSHA256Mismatch: the bytes were damaged on their way
_PASSING_CODES = frozenset({
    "BadDigest", "ConditionalRequestConflict", "InternalError", "NoSuchUpload", "OperationAborted", "RequestTimeout", "ServiceUnavailable",
    "SlowDown", "SlowDownRead", "SlowDownWrite", "XAmzContentSHA256Mismatch", "XMinioServerNotInitialized",
})  # fmt: skip

T = TypeVar("T")
Keys = list[str]


class ServerSide(StrEnum):
    """What a server can encrypt with."""

    S3 = "AES256"
    """Keys of the server's own (SSE-S3)."""
    KMS = "aws:kms"
    """A key of its key service (SSE-KMS)."""


@dataclass(frozen=True)
class S3Settings:
    """Which bucket, and how to reach it."""

    endpoint: str
    """`http://host:port` or `https://host`."""
    bucket: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    credentials: Path | None = None
    """Folder with the files accessKey and secretKey, read anew for each request; instead of the two above."""
    region: str = "us-east-1"
    create_bucket: bool = False
    """Whether a missing bucket is made."""
    certificate_authority: Path | None = None
    """PEM file that the server's certificate is checked with, instead of the public ones."""
    attempts: int = 6
    """How often a request is tried before the store counts as unavailable."""
    patience: float = 30
    """Seconds after which a request is not tried again, however often it was."""
    longest_wait: float = 10
    """Seconds between two tries, at most."""
    part_bytes: int = 16 * 2**20
    """What is larger goes up in parts of this size, at least 5 MiB; one part is in memory at a time."""
    server_side_encryption: ServerSide | None = None
    """How the server is asked to encrypt what it stores; None: as the bucket's own settings say."""
    kms_key_id: str = ""
    """With ServerSide.KMS: the key's id, or its ARN."""
    connections: int = 16
    """Requests at once."""
    read_seconds: float = 30
    """How long an answer is waited for, and each next part of it."""


class _VanishedError(Exception):
    """An object that was there a moment ago is gone: somebody deletes. Tried again."""


class _Offset:
    """How far the server's clock is ahead of ours, by its last answer. Signatures carry the server's time."""

    def __init__(self) -> None:
        self.time = timedelta()

    def learn(self, date: str) -> None:
        """From an answer's Date header. What two clocks differ by ordinarily is left alone."""
        try:
            ahead = parsedate_to_datetime(date) - datetime.now(UTC)
        except ValueError:
            return
        self.time = ahead if abs(ahead) > _TOLERATED_SKEW else timedelta()


class _Pool(urllib3.PoolManager):
    """Learns the server's time."""

    def __init__(self, offset: _Offset, **settings: Any) -> None:
        super().__init__(**settings)
        self._offset = offset

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **rest: Any
    ) -> urllib3.BaseHTTPResponse:
        response = super().urlopen(method, url, redirect=redirect, **rest)
        self._offset.learn(response.headers.get("Date", ""))
        return response


class _CreateOnlyPool(_Pool):
    """Sends everything that creates an object on the condition that its key is free.

    minio-py lets nobody add a header to a put. The header needs no place in the signature: AWS asks only for Host and
    x-amz-* there.
    """

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **rest: Any
    ) -> urllib3.BaseHTTPResponse:
        if _creates_object(method, url):
            rest["headers"].add("If-None-Match", "*")
        return super().urlopen(method, url, redirect=redirect, **rest)


class _Client(Minio):
    """Dates its requests by the server's clock: a machine whose own is off could otherwise neither read nor write."""

    offset: _Offset

    def _build_headers(self, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], datetime]:
        headers, date = super()._build_headers(*args, **kwargs)
        date += self.offset.time
        headers["x-amz-date"] = to_amz_date(date)
        return headers, date


class S3Store:
    """An ObjectStore in one bucket. Made by `connect`, and closed after use."""

    def __init__(self, settings: S3Settings) -> None:
        _check_encryption(settings)
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="s3")
        self._offset = offset = _Offset()
        self._reader = _client(settings, _Pool, offset)
        self._writer = _client(settings, _CreateOnlyPool, offset)
        self._parts_are_conditional = False
        self._is_proven = False
        self._proving = asyncio.Lock()

    @classmethod
    async def connect(cls, settings: S3Settings) -> Self:
        """A store whose bucket exists and that keeps the contract.

        Raises:
            UnsuitableError: no bucket, wrong credentials, or no conditional writes.
            UnavailableError: the server does not answer.
        """
        store = cls(settings)
        try:
            await store.prove()
        except BaseException:
            store.close()
            raise
        return store

    async def prove(self) -> None:
        """Makes sure that the bucket exists and that the server keeps the contract. Raises as `connect`.

        Nothing is written before this succeeded once: whoever could not do it at the start may go on, and each write
        tries it first.
        """
        async with self._proving:
            if not self._is_proven:
                await self._ensure_bucket()
                probe = self._probe_key
                await self._require_condition(probe, _PROBE)
                await self._do(f"look at {probe}", self._require_encryption)
                self._is_proven = True

    def close(self) -> None:
        """Ends connections; requests that run are waited for by nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def put(
        self, key: str, source: Path | bytes, *, content_type: str = "application/octet-stream"
    ) -> PutResult:
        """As ObjectStore.put."""
        check_key(key)
        if isinstance(source, Path) and not source.is_file():
            raise FileNotFoundError(f"{source} is no file, so it cannot be stored as {key}")
        await self.prove()
        if _size(source) > self._settings.part_bytes and not self._parts_are_conditional:
            await self._require_condition(_LARGE_PROBE_KEY, bytes(_SMALLEST_PART + 1))
            self._parts_are_conditional = True
        return await self._do(f"put {key}", partial(self._put, key, source, content_type))

    async def get(self, key: str) -> bytes:
        """As ObjectStore.get."""
        return await self._do(f"get {key}", partial(self._get, check_key(key)))

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        """As ObjectStore.fetch."""
        return await self._do(f"fetch {key}", partial(self._fetch, check_key(key), target))

    async def stat(self, key: str) -> ObjectStat | None:
        """As ObjectStore.stat; an object that another program made is read to learn its digest."""
        return await self._do(f"stat {key}", partial(self._stat, check_key(key)))

    async def size(self, key: str) -> int | None:
        """As ObjectStore.size."""
        head = await self._do(f"stat {key}", partial(self._head, check_key(key)))
        return int(head.size) if head else None

    async def exists(self, key: str) -> bool:
        """As ObjectStore.exists."""
        return await self._do(f"stat {key}", partial(self._head, check_key(key))) is not None

    async def delete(self, key: str) -> None:
        """As PrunableStore.delete. In a bucket with versions this makes a delete marker; its lifecycle rules do the rest."""
        remove = partial(self._reader.remove_object, self._settings.bucket, check_key(key))
        await self._do(f"delete {key}", remove)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """As ObjectStore.list."""
        before: Keys = []
        while page := await self._do(
            f"list {prefix}", partial(self._page, prefix, before[-1] if before else None)
        ):
            odd = not all(key.startswith(prefix) for key in page)
            if odd or len({*before, *page}) < len(before) + len(page):
                raise UnavailableError(
                    f"the object store at {self._settings.endpoint} does not list {prefix} page by page, as ListObjectsV2"
                    " does: it tells keys twice, or others, so what it says cannot be relied on"
                )
            for key in page:
                yield key
            before = page

    async def _ensure_bucket(self) -> None:
        bucket = self._settings.bucket
        try:
            if await self._do(f"look for bucket {bucket}", partial(self._reader.bucket_exists, bucket)):
                return
            if not self._settings.create_bucket:
                raise UnsuitableError(f"bucket {bucket} does not exist; create it, or allow it to be created")
            await self._do(f"create bucket {bucket}", self._make_bucket)
        except UnavailableError as error:
            if isinstance(error.__cause__, S3Error) and not _is_passing(error.__cause__):
                raise UnsuitableError(
                    f"{error}; check the endpoint, the bucket and the credentials"
                ) from error
            raise

    def _make_bucket(self) -> None:
        try:
            self._reader.make_bucket(self._settings.bucket, location=self._settings.region)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    async def _require_condition(self, key: str, content: bytes) -> None:
        """Creates an object twice: unless the second time is refused, the store is of no use."""
        taken = [await self._do(f"probe {key}", partial(self._is_taken, key, content)) for _ in range(2)]
        if not taken[-1]:
            raise UnsuitableError(
                f"the object store at {self._settings.endpoint} ignores If-None-Match, so two gateways could overwrite"
                " each other's evidence; use a store with conditional writes (AWS S3, MinIO, Ceph, versitygw do)"
            )

    def _is_taken(self, key: str, content: bytes) -> bool:
        try:
            self._create(key, content, "application/octet-stream", _SMALLEST_PART)
        except S3Error as error:
            if error.code == "NotImplemented":
                return False
            if error.code != "PreconditionFailed":
                raise
            return True
        return False

    def _put(self, key: str, source: Path | bytes, content_type: str) -> PutResult:
        try:
            self._create(key, source, content_type, self._settings.part_bytes)
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise
            return self._compare(key, source)
        return PutResult.CREATED

    def _compare(self, key: str, source: Path | bytes) -> PutResult:
        stored, offered = self._stat(key), digest_of(source)
        if stored is None:
            raise _VanishedError(f"{key} was taken, and then it was gone")
        if stored.sha256 != offered:
            raise ConflictError(key, stored.sha256, offered)
        return PutResult.ALREADY_THERE

    def _create(self, key: str, source: Path | bytes, content_type: str, part_bytes: int) -> None:
        with _opened(source) as stream:
            self._writer.put_object(
                self._settings.bucket,
                key,
                stream,
                _size(source),
                content_type,
                metadata={_DIGEST_METADATA: digest_of(source)},
                part_size=part_bytes,
                num_parallel_uploads=1,
                sse=self._encryption(),
            )

    @property
    def _probe_key(self) -> str:
        """Another one for each encryption: what lies there already was stored with one."""
        wanted = self._settings.server_side_encryption
        return _PROBE_KEY.format(wanted.name.lower() if wanted else "put")

    def _encryption(self) -> Sse | None:
        match self._settings.server_side_encryption:
            case ServerSide.S3:
                return SseS3()
            case ServerSide.KMS:
                return SseKMS(self._settings.kms_key_id, {})
            case None:
                return None

    def _require_encryption(self) -> None:
        """Looks at what a probe was stored with."""
        wanted = self._settings.server_side_encryption
        if wanted is None:
            return
        head = self._head(self._probe_key)
        headers = {name.lower(): value for name, value in (head.metadata or {}).items()} if head else {}
        if headers.get(_ENCRYPTION_HEADER) != wanted:
            raise UnsuitableError(
                f"the object store at {self._settings.endpoint} was asked to encrypt with {wanted}, and does not say that"
                " it did; use a store that can, or set objectStorage.encryption.serverSide (AXIOM_S3_ENCRYPTION) to nothing"
            )

    def _get(self, key: str) -> bytes:
        with self._reading(key) as response:
            content = bytes(response.read())
            _check_digest(key, response, digest_of(content))
            return content

    def _fetch(self, key: str, target: Path) -> ObjectStat:
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with self._reading(key) as response:
                with unfinished.open("xb") as stream:
                    for chunk in response.stream(CHUNK_BYTES):
                        stream.write(chunk)
                found = ObjectStat(key, unfinished.stat().st_size, digest_of(unfinished))
                _check_digest(key, response, found.sha256)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return found

    def _stat(self, key: str) -> ObjectStat | None:
        head = self._head(key)
        if head is None:
            return None
        digest = {name.lower(): value for name, value in (head.metadata or {}).items()}.get(_DIGEST_HEADER)
        return ObjectStat(key, head.size, digest or self._digest_of(key))

    def _digest_of(self, key: str) -> str:
        digest = hashlib.sha256()
        with self._reading(key) as response:
            for chunk in response.stream(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _head(self, key: str) -> Any:
        try:
            return self._reader.stat_object(self._settings.bucket, key)
        except S3Error as error:
            if error.code in {"NoSuchKey", "NoSuchObject"}:
                return None
            raise

    def _page(self, prefix: str, last: str | None) -> Keys:
        found = self._reader.list_objects(self._settings.bucket, prefix, recursive=True, start_after=last)
        return [str(item.object_name) for item in itertools.islice(found, _PAGE)]

    @contextmanager
    def _reading(self, key: str) -> Iterator[urllib3.BaseHTTPResponse]:
        try:
            response = self._reader.get_object(self._settings.bucket, key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise MissingError(key) from error
            raise
        with closing(response):
            yield response
            response.release_conn()

    async def _do(self, what: str, operation: Callable[[], T]) -> T:
        """Runs it in a thread, again while what fails may pass. Raises StorageError."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(self._settings.attempts) | stop_after_delay(self._settings.patience),
            wait=wait_random_exponential(multiplier=0.2, max=self._settings.longest_wait),
            before_sleep=partial(_log_retry, what),
            reraise=True,
        )
        try:
            return await retrying(self._run, operation)
        except (StorageError, FileNotFoundError):
            raise
        except (
            MinioException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            ParseError,
            _VanishedError,
        ) as error:
            raise UnavailableError(
                f"the object store at {self._settings.endpoint} could not {what}: {_reason(error)}"
            ) from error

    async def _run(self, operation: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._dated(operation))

    def _dated(self, operation: Callable[[], T]) -> Callable[[], T]:
        """Once more where the refusal taught us that our clock is off: to a HEAD the server does not say why it refuses."""

        def run() -> T:
            before = self._offset.time
            try:
                return operation()
            except S3Error:
                if abs(self._offset.time - before) <= _TOLERATED_SKEW:
                    raise
            return operation()

        return run


def _check_encryption(settings: S3Settings) -> None:
    """What minio would say of it only at the first write. Raises UnsuitableError."""
    kms = settings.server_side_encryption is ServerSide.KMS
    if kms and not settings.kms_key_id:
        raise UnsuitableError(
            "encryption with aws:kms needs the id of a key: objectStorage.encryption.kmsKeyId"
        )
    if kms and not settings.endpoint.startswith("https://"):
        raise UnsuitableError(f"encryption with aws:kms needs https, and {settings.endpoint!r} is not")


def _client(settings: S3Settings, pool: type[_Pool], offset: _Offset) -> Minio:
    address = urlsplit(settings.endpoint)
    if address.scheme not in {"http", "https"} or not address.netloc or address.path.strip("/"):
        raise UnsuitableError(f"{settings.endpoint!r} is no endpoint; write http://host:port or https://host")
    client = _Client(
        address.netloc,
        credentials=_keys(settings),
        region=settings.region,
        secure=address.scheme == "https",
        http_client=pool(
            offset,
            maxsize=settings.connections,
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=settings.read_seconds),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(settings.certificate_authority or certifi.where()),
        ),
    )
    client.offset = offset
    return client


class _KeysInFolder(Provider):
    """Keys in files that are replaced while the process runs, as those of a mounted Secret are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def retrieve(self) -> Credentials:
        # of a mounted Secret both files come from one folder, behind a link that is replaced as a whole
        folder = self._folder / "..data"
        folder = folder.resolve() if folder.exists() else self._folder
        try:
            keys = [(folder / name).read_text().strip() for name in (ACCESS_KEY_FILE, SECRET_KEY_FILE)]
        except OSError as error:
            raise UnavailableError(
                f"the keys of object storage cannot be read from {self._folder}: {error.strerror}"
            ) from error
        if not all(keys):
            raise UnavailableError(f"{self._folder} holds an empty key of object storage")
        return Credentials(access_key=keys[0], secret_key=keys[1])


def _keys(settings: S3Settings) -> Provider:
    if settings.credentials:
        return _KeysInFolder(settings.credentials)
    return StaticProvider(settings.access_key, settings.secret_key)


def _creates_object(method: str, url: str) -> bool:
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    completes_parts = method == "POST" and "uploadId" in query
    return completes_parts or (method == "PUT" and "partNumber" not in query)


def _is_passing(error: BaseException) -> bool:
    match error:
        case S3Error():
            return error.code in _PASSING_CODES
        case ServerError():
            return bool(error.status_code >= 500)
        case InvalidResponseError() | ParseError() | urllib3.exceptions.HTTPError() | _VanishedError():
            return True
        case _:
            return False


def _log_retry(what: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    log.warning("could not %s (try %d), trying again: %s", what, state.attempt_number, _reason(error))


def _reason(error: BaseException | None) -> str:
    return (
        f"{error.code}: {error.message}" if isinstance(error, S3Error) else f"{type(error).__name__}: {error}"
    )


def _check_digest(key: str, response: urllib3.BaseHTTPResponse, got: str) -> None:
    wanted = response.headers.get(_DIGEST_HEADER, got)
    if wanted != got:
        raise CorruptError(key, wanted, got)


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
