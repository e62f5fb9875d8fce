import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Random access to the decoded bytes of a file in zstd's seekable format.
final class SeekableFile: Sendable {
  /// One frame: where it lies, and what it decodes to; an empty stretch for skippable frames.
  struct Frame: Sendable {
    let packed: Range<Int>
    let decoded: Range<Int>
  }

  let path: String
  let region: ByteRegion
  let table: SeekTable
  let frames: [Frame]
  /// The first byte of the seek table.
  let tableStart: Int
  /// What the system was asked to read.
  private let ahead: Locked<ReadingAhead>

  /// The decoded file's length.
  var decodedSize: Int { frames.last?.decoded.upperBound ?? 0 }

  /// Opens `region` by its seek table.
  ///
  /// - Throws: ``ModelFileError`` when there is none, or it is damaged.
  init(_ region: ByteRegion, path: String) throws {
    self.path = path
    self.region = region
    ahead = Locked(ReadingAhead(size: region.count))
    (table, tableStart) = try SeekTable.read(from: region.buffer, path: path)
    var frames: [Frame] = []
    frames.reserveCapacity(table.entries.count)
    var (packed, decoded) = (0, 0)
    for entry in table.entries {
      let (packedEnd, decodedEnd) = (packed + Int(entry.packed), decoded + Int(entry.decoded))
      frames.append(Frame(packed: packed..<packedEnd, decoded: decoded..<decodedEnd))
      (packed, decoded) = (packedEnd, decodedEnd)
    }
    self.frames = frames
  }

  /// The bytes of frame `index` as they are stored.
  func stored(_ index: Int) -> UnsafeRawBufferPointer { stored(frames[index].packed) }

  /// The bytes at `range` as they are stored.
  func stored(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: region.buffer[range])
  }

  /// Decodes the frames that hold `range` of the decoded file, on all threads.
  ///
  /// - Parameter what: what is read, for messages: "tensor 'x'".
  /// - Throws: ``ModelFileError`` of `corrupt` when a frame cannot be decoded.
  func read(_ range: Range<Int>, what: @autoclosure @Sendable () -> String) throws -> ByteRegion {
    precondition(range.lowerBound >= 0 && range.upperBound <= decodedSize, "read outside of the decoded file")
    guard range.count <= ArtifactFile.memoryLimit else {
      throw ModelFileError(
        .unsupported, path: path,
        "\(what()) takes \(range.count) bytes, more than half of this machine's memory")
    }
    let covering = frames(holding: range)
    defer {
      if let first = covering.first, let last = covering.last {
        region.slice(frames[first].packed.lowerBound..<frames[last].packed.upperBound).letGo()
      }
    }
    return try ByteRegion(uninitializedCount: range.count) { target in
      let target = Target(bytes: target)
      try Parallel.forEachThrowing(covering.count) { task in
        let frame = covering.lowerBound + task
        let decoded = frames[frame].decoded
        let wanted = decoded.clamped(to: range)
        guard !wanted.isEmpty else { return }
        let place = wanted.lowerBound - range.lowerBound
        let slice = UnsafeMutableRawBufferPointer(rebasing: target.bytes[place..<place + wanted.count])
        if wanted == decoded {
          try decode(frame, into: slice, what: what())
        } else {
          let whole = try self.decode(frame, what: what())
          let start = wanted.lowerBound - decoded.lowerBound
          withExtendedLifetime(whole) {
            slice.copyMemory(
              from: UnsafeRawBufferPointer(rebasing: whole.buffer[start..<start + wanted.count]))
          }
        }
      }
    }
  }

  /// Decodes the first bytes of what lies from `place` on: of one frame as little as that takes, and without its checksum.
  func readStart(at place: Int, count: Int, what: @autoclosure @Sendable () -> String) throws -> ByteRegion {
    let frame = firstFrame { $0.decoded.upperBound > place }
    guard count > 0, frame < frames.count, frames[frame].decoded.lowerBound == place,
      frames[frame].decoded.count > count
    else { return try read(place..<place + count, what: what()) }
    try checkSize(frame, what: what())
    return try ByteRegion(uninitializedCount: count) { target in
      do throws(Zstd.Failure) { try Zstd.decodeStart(stored(frame), into: target) } catch {
        throw damaged(frame, what(), error.description)
      }
    }
  }

  /// Has the system read in the background what the decoded bytes at `range` need, and some of what lies behind them: reading
  /// takes as long as decoding where the file is not in memory yet.
  func expect(_ range: Range<Int>) {
    let covering = frames(holding: range)
    guard let first = covering.first, let last = covering.last else { return }
    let packed = frames[first].packed.lowerBound..<frames[last].packed.upperBound
    guard let wanted = ahead.withLock({ $0.next(for: packed) }) else { return }
    // A system reads no more of a request than a few megabytes.
    for place in stride(from: wanted.lowerBound / 4096 * 4096, to: wanted.upperBound, by: 1 << 20) {
      let count = min(1 << 20, wanted.upperBound - place)
      madvise(UnsafeMutableRawPointer(mutating: region.base + place), count, MADV_WILLNEED)
    }
  }

  /// Decodes all of frame `index`.
  func decode(_ index: Int, what: @autoclosure () -> String) throws -> ByteRegion {
    try checkSize(index, what: what())
    return try ByteRegion(uninitializedCount: frames[index].decoded.count) {
      try decode(index, into: $0, what: what())
    }
  }

  /// Decodes all of frame `index` into `target`, which has its decoded length.
  ///
  /// - Parameter isHashed: whether the caller checks a better hash of the same bytes: then the frame's checksum is only compared with
  ///   the seek table's.
  func decode(
    _ index: Int, into target: UnsafeMutableRawBufferPointer, isHashed: Bool = false,
    what: @autoclosure () -> String
  ) throws {
    try checkSize(index, what: what())
    let isChecked = !(isHashed && endsInChecksum(index))
    do { try Zstd.decode(stored(index), into: target, isChecked: isChecked) } catch {
      throw damaged(index, what(), error.description)
    }
  }

  /// Whether frame `index` ends with the checksum that the seek table has for it.
  private func endsInChecksum(_ index: Int) -> Bool {
    guard let checksum = table.entries[index].checksum else { return false }
    let frame = stored(index)
    return Zstd.hasChecksum(frame) && frame.littleEndian32(at: frame.count - 4) == checksum
  }

  /// Believes the seek table's size only when the frame agrees, before memory is taken for it.
  func checkSize(_ index: Int, what: @autoclosure () -> String) throws {
    let promised = frames[index].decoded.count
    switch Zstd.contentSize(stored(index)) {
    case .known(promised), .unknown: return
    case .known(let other):
      throw damaged(index, what(), "it states \(other) decoded bytes, the seek table \(promised)")
    case .damaged: throw damaged(index, what(), "its header is damaged")
    }
  }

  private func damaged(_ index: Int, _ what: String, _ reason: String) -> ModelFileError {
    ModelFileError(
      .corrupt, path: path,
      "\(what): zstd frame \(index) at byte \(frames[index].packed.lowerBound): \(reason)",
      advice: ModelFileError.downloadAgain)
  }

  /// The frames from the one that holds the first byte of `range` to the one that holds the last.
  private func frames(holding range: Range<Int>) -> Range<Int> {
    guard !range.isEmpty else { return 0..<0 }
    let first = firstFrame { $0.decoded.upperBound > range.lowerBound }
    return first..<firstFrame { $0.decoded.lowerBound >= range.upperBound }
  }

  /// The first frame for which `holds`, which is false up to some frame and true from there on; binary search.
  private func firstFrame(_ holds: (Frame) -> Bool) -> Int {
    var (low, high) = (0, frames.count)
    while low < high {
      let middle = (low + high) / 2
      if holds(frames[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Decodes all frames on all threads and hands them out in order, one call at a time; a batch is decoded while the
  /// one before it is consumed.
  ///
  /// - Parameters:
  ///   - name: what frame `index` belongs to, for messages.
  ///   - consumers: get a frame's index and its decoded bytes, each on a thread of its own; skippable frames are left out.
  func forEachDecoded(
    naming name: @Sendable (Int) -> String, _ consumers: (@Sendable (Int, ByteRegion) throws -> Void)...
  ) throws {
    var ready: [(Int, ByteRegion)] = []
    var next = 0
    repeat {
      let batch = nextBatch(from: next)
      next = batch.upperBound
      let decoded = Locked([ByteRegion?](repeating: nil, count: batch.count))
      let before = ready
      try Parallel.forEachThrowing(consumers.count + batch.count) { task in
        guard task >= consumers.count else { return try before.forEach { try consumers[task]($0.0, $0.1) } }
        let place = task - consumers.count
        let index = batch.lowerBound + place
        guard !frames[index].decoded.isEmpty else { return }
        let bytes = try decode(index, what: name(index))
        decoded.withLock { $0[place] = bytes }
      }
      ready = zip(batch, decoded.withLock { $0 }).compactMap { index, bytes in bytes.map { (index, $0) } }
    } while next < frames.count || !ready.isEmpty
  }

  private func nextBatch(from start: Int) -> Range<Int> {
    var (end, bytes) = (start, 0)
    while end < frames.count, end - start < 4096, bytes < 4 * ArtifactFile.frameSize * Parallel.threadCount {
      bytes += frames[end].decoded.count
      end += 1
    }
    return start..<end
  }

  /// Memory that threads fill at different places.
  private struct Target: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
  }
}

extension SeekableFile {
  /// The manifest: a skippable frame of ours, which is the last frame before the seek table; nil when there is none.
  ///
  /// - Throws: ``ModelFileError`` when it is damaged.
  func manifest() throws -> ArtifactManifest? {
    guard let last = frames.indices.last, frames[last].decoded.isEmpty,
      ArtifactManifest.isManifest(stored(last))
    else { return nil }
    let manifest = try ArtifactManifest(frame: stored(last), path: path)
    guard manifest.decodedSize == decodedSize else {
      throw ModelFileError(
        .corrupt, path: path,
        "the manifest promises \(manifest.decodedSize) decoded bytes, the seek table \(decodedSize)",
        advice: "see what is damaged with compress verify")
    }
    return manifest
  }
}
