package import TensorCore

extension ArtifactFile {
  /// A part of an artifact that is not as it was written.
  public struct Damage: Sendable, Equatable {
    /// "tensor 'x'", "header", "manifest" or "seek table".
    public var part: String
    /// What is wrong with it.
    public var message: String
  }

  /// What a verified artifact holds.
  public struct VerifyReport: Sendable, Equatable {
    /// The artifact's length in bytes.
    public var bytes: Int
    /// The decoded file's length in bytes.
    public var decodedBytes: Int
    /// The number of tensors.
    public var tensorCount: Int
    /// SHA-256 of the decoded file.
    public var sha256: String
    /// The root of the Merkle tree over the tensors.
    public var merkleRoot: String
    /// Wall time.
    public var seconds: Double
  }

  /// Checks every byte of the artifact at `path`: structure, checksums, hashes, and that all of it says the same.
  ///
  /// - Throws: ``ModelFileError``: `corrupt` when anything is damaged, naming the part; `notAModel` for a file that was
  ///   never an artifact; `system` when it cannot be read.
  @discardableResult
  public static func verify(_ path: String, progress: Progress? = nil) throws -> VerifyReport {
    let clock = ContinuousClock()
    let start = clock.now
    let file = try map(path)
    let (manifest, damages) = try examine(file.region, path: path, progress: progress)
    if let first = damages.first {
      let others = damages.dropFirst().map(\.part)
      let more = others.isEmpty ? "" : "; also damaged: " + others.joined(separator: ", ")
      throw ModelFileError(
        .corrupt, path: path, "\(first.part): \(first.message)\(more)", advice: ModelFileError.downloadAgain)
    }
    return VerifyReport(
      bytes: file.region.count, decodedBytes: manifest.decodedSize, tensorCount: manifest.tensors.count,
      sha256: manifest.sha256, merkleRoot: manifest.merkleRoot, seconds: (clock.now - start) / .seconds(1))
  }

  /// The damaged parts of an artifact whose seek table and manifest can be read, in file order; none when it is whole.
  ///
  /// - Throws: ``ModelFileError`` as ``verify(_:progress:)`` does, when they cannot.
  public static func damages(of path: String, progress: Progress? = nil) throws -> [Damage] {
    try examine(map(path).region, path: path, progress: progress).damages
  }

  static func map(_ path: String) throws -> MappedFile {
    do { return try MappedFile(path: path) } catch {
      throw ModelFileError(.system, path: path, "cannot \(error.operation): \(error.reason)")
    }
  }

  /// The manifest and the damages of an artifact in memory.
  package static func examine(
    _ region: ByteRegion, path: String, progress: Progress? = nil
  ) throws -> (manifest: ArtifactManifest, damages: [Damage]) {
    guard recognizes(region.buffer) || SeekTable.isPresent(in: region.buffer) else {
      throw ModelFileError(.notAModel, path: path, "no artifact of compress, nor a zstd file")
    }
    let seekable = try SeekableFile(region, path: path)
    guard let last = seekable.frames.indices.last, ArtifactManifest.isManifest(seekable.stored(last)) else {
      throw ModelFileError(
        .corrupt, path: path, "manifest: none, or its frame is damaged", advice: ModelFileError.downloadAgain)
    }
    let manifest = try ArtifactManifest(frame: seekable.stored(last), path: path)
    let verifier = ArtifactVerifier(seekable, manifest, progress: progress)
    return (manifest, try verifier.damages())
  }
}

/// Checks what the seek table and the manifest promise. Each step may rely on the ones before it.
private final class ArtifactVerifier: Sendable {
  private let file: SeekableFile
  private let manifest: ArtifactManifest
  private let parts: [(name: String, part: ArtifactManifest.Part)]
  private let progress: ArtifactFile.Progress?

  init(_ file: SeekableFile, _ manifest: ArtifactManifest, progress: ArtifactFile.Progress?) {
    self.file = file
    self.manifest = manifest
    self.progress = progress
    parts = manifest.parts
  }

  func damages() throws -> [ArtifactFile.Damage] {
    if let damage = manifestPlace() { return [damage] }
    let stored = storedBytes()
    guard stored.isEmpty else { return stored }
    if let damage = seekTable() { return [damage] }
    let owners: [Int]
    switch frameOwners() {
    case .success(let found): owners = found
    case .failure(let contradiction): return [contradiction.damage]
    }
    let decoded = try decodedBytes(owners)
    guard decoded.isEmpty else { return decoded }
    guard MerkleTree.root(of: manifest.tensors) == manifest.merkleRoot else {
      return [.init(part: "manifest", message: "its Merkle root is not that of its tensors")]
    }
    let (container, index) = try ArtifactFile.header(of: file, manifest: manifest)
    try ArtifactFile.check(manifest, container: container, index, file)
    return []
  }

  /// The parts' frames end where the manifest starts, and the manifest where the seek table starts.
  private func manifestPlace() -> ArtifactFile.Damage? {
    let end = parts.last.map { $0.part.packedOffset + $0.part.packedCount } ?? 0
    guard let start = file.frames.last?.packed.lowerBound, start != end else { return nil }
    return .init(
      part: "seek table", message: "the manifest starts at byte \(start), the frames end at \(end)")
  }

  /// Damage to any stored byte of a part, noticed by decoding or not.
  private func storedBytes() -> [ArtifactFile.Damage] {
    let (file, parts) = (file, parts)
    let isWhole = Locked([Bool](repeating: false, count: parts.count))
    // A few parts of about the same size together.
    let order = parts.indices.sorted { (parts[$0].part.packedCount, $1) > (parts[$1].part.packedCount, $0) }
    let groups = stride(from: 0, to: order.count, by: HashStream.together).map {
      order[$0..<min(order.count, $0 + HashStream.together)]
    }
    Parallel.forEach(groups.count) { group in
      let streams = groups[group].map { index in
        let part = parts[index].part
        return (
          stream: HashStream(), bytes: file.stored(part.packedOffset..<part.packedOffset + part.packedCount)
        )
      }
      HashStream.add(streams)
      let digests = streams.map { FileHash.hexadecimal($0.stream.finish()) }
      isWhole.withLock {
        for (index, digest) in zip(groups[group], digests) {
          $0[index] = digest == parts[index].part.packedSHA256
        }
      }
    }
    return zip(parts, isWhole.withLock { $0 }).compactMap { entry, isWhole in
      if isWhole { return nil }
      let place = "\(entry.part.packedCount) bytes at \(entry.part.packedOffset)"
      return .init(part: entry.name, message: "its frames (\(place)) do not have the SHA-256 of the manifest")
    }
  }

  /// The seek table is what walking over the frames gives, byte for byte.
  private func seekTable() -> ArtifactFile.Damage? {
    var entries: [SeekTable.Entry] = []
    var place = 0
    let manifestStart = file.frames.last?.packed.lowerBound ?? 0
    while place < manifestStart {
      let rest = file.stored(place..<manifestStart)
      guard rest.count >= 8, rest.littleEndian32(at: 0) == Zstd.frameMagic,
        let count = try? Zstd.frameLength(rest),
        case .known(let decoded) = Zstd.contentSize(rest), let size = UInt32(exactly: decoded),
        let packed = UInt32(exactly: count), count >= 4
      else { return .init(part: "seek table", message: "no zstd frame with a size at byte \(place)") }
      entries.append(
        .init(packed: packed, decoded: size, checksum: rest.littleEndian32(at: count - 4)))
      place += count
    }
    let manifestSize = UInt32(file.tableStart - manifestStart)
    entries.append(.init(packed: manifestSize, decoded: 0, checksum: SeekTable.checksumOfNothing))
    let expected = SeekTable(entries: entries).bytes
    guard file.stored(file.tableStart..<file.region.count).elementsEqual(expected) else {
      return .init(part: "seek table", message: "it is not the table of the frames before it")
    }
    return nil
  }

  private struct Contradiction: Error {
    let damage: ArtifactFile.Damage
  }

  /// The part that each frame belongs to; no frame crosses from one to another, and each part starts where it should.
  private func frameOwners() -> Result<[Int], Contradiction> {
    func contradiction(_ what: String) -> Result<[Int], Contradiction> {
      .failure(Contradiction(damage: .init(part: "manifest", message: what)))
    }
    var owners: [Int] = []
    for (index, (name, part)) in parts.enumerated() {
      let first = owners.count
      let packedEnd = part.packedOffset + part.packedCount
      while owners.count < file.frames.count, file.frames[owners.count].packed.upperBound <= packedEnd {
        owners.append(index)
      }
      if first == owners.count, part.count == 0 { continue }
      guard first < owners.count, file.frames[first].packed.lowerBound == part.packedOffset,
        file.frames[owners.count - 1].packed.upperBound == packedEnd,
        file.frames[first].decoded.lowerBound == part.offset,
        file.frames[owners.count - 1].decoded.upperBound >= part.offset + part.count
      else { return contradiction("\(name) is not what its frames hold") }
    }
    guard file.decodedSize == manifest.decodedSize else {
      return contradiction("\(manifest.decodedSize) decoded bytes, but the frames hold \(file.decodedSize)")
    }
    return .success(owners + [parts.count])
  }

  private struct Hashes: Sendable {
    let whole = HashStream()
    let part = HashStream()
    var current = 0
    var results: [String] = []
    var nonzeroPadding: Set<Int> = []

    /// Ends the parts before `index`.
    mutating func advance(to index: Int) {
      while current < index {
        results.append(FileHash.hexadecimal(part.finish()))
        current += 1
      }
    }
  }

  /// The hashes of all the decoded bytes.
  private func decodedBytes(_ owners: [Int]) throws -> [ArtifactFile.Damage] {
    let (file, parts, total, progress) = (file, parts, manifest.decodedSize, progress)
    let state = Locked(Hashes())
    try file.forEachDecoded(naming: { parts[owners[$0]].name }) { frame, bytes in
      let part = parts[owners[frame]].part
      let count = min(bytes.count, max(part.offset + part.count - file.frames[frame].decoded.lowerBound, 0))
      state.withLock { state in
        state.advance(to: owners[frame])
        HashStream.add([
          (state.whole, bytes.buffer),
          (state.part, UnsafeRawBufferPointer(rebasing: bytes.buffer[..<count])),
        ])
        if bytes.buffer[count...].contains(where: { $0 != 0 }) { state.nonzeroPadding.insert(owners[frame]) }
      }
      progress?(file.frames[frame].decoded.upperBound, total)
    }
    let hashes = state.withLock { state in
      state.advance(to: parts.count)
      return state
    }
    var damages: [ArtifactFile.Damage] = []
    for (index, (name, part)) in parts.enumerated() {
      if hashes.results[index] != part.sha256 {
        damages.append(.init(part: name, message: "its bytes do not have the SHA-256 of the manifest"))
      } else if hashes.nonzeroPadding.contains(index) {
        damages.append(.init(part: name, message: "the padding behind it is not zero"))
      }
    }
    if damages.isEmpty, FileHash.hexadecimal(hashes.whole.finish()) != manifest.sha256 {
      damages.append(
        .init(part: "manifest", message: "the decoded file does not have the SHA-256 that it states"))
    }
    return damages
  }
}
