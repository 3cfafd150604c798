"""The evidence of an imaging: everything that was measured, in the words of the records."""

from __future__ import annotations

from pathlib import Path

from provisioner.agent import partition
from provisioner.agent.partition import Part
from provisioner.agent.personalise import Identity
from provisioner.agent.readback import Proofs
from provisioner.agent.release_files import Totals
from provisioner.agent.target import Job
from provisioner.errors import ProofMissingError
from provisioner.model.record import ImageEvidence, Partition, ReadBack


def evidence(
    job: Job,
    disk: Path,
    parts: dict[str, Part],
    proofs: Proofs,
    totals: Totals,
    identity: Identity,
) -> ImageEvidence:
    """Everything that was measured, with the partitions as the kernel sees them now."""
    # Closing a disk that was open for writing makes udev read its table again; the kernel's
    # partitions are gone for a moment then.
    seen = partition.wait_for_kernel(disk, job.slots, job.sector)
    return ImageEvidence(
        disk=job.work.disk,
        release=job.manifest.id,
        manifest_sha256=job.work.manifest_sha256,
        partitions=tuple(_partition(part, seen) for part in parts.values()),
        read_back=tuple(
            ReadBack(
                path=path,
                size=proof.size,
                sha256=proof.sha256 or None,
                merkle=proof.merkle or None,
            )
            for path, proof in proofs.items()
        ),
        direct_io=all(proof.direct for proof in proofs.values()),
        bytes_fetched=totals.fetched,
        bytes_resumed=totals.resumed,
        bytes_from_peers=totals.from_peers,
        bytes_from_carousel=totals.from_carousel,
        ssh_host_keys=(identity.ssh_host_key,),
        installed_key=identity.installed_key,
    )


def _partition(part: Part, seen: partition.Seen) -> Partition:
    if part.slot.number not in seen:
        raise ProofMissingError(
            f"The kernel no longer sees partition {part.slot.number}.", "Restart and try again."
        )
    start, sectors = seen[part.slot.number]
    return Partition(
        number=part.slot.number,
        label=part.slot.label,
        type_guid=part.slot.type_guid,
        guid=part.guid,
        start_sector=start,
        sectors=sectors,
        filesystem=part.system.kind if part.system else "",
        filesystem_uuid=part.system.uuid if part.system else "",
    )
