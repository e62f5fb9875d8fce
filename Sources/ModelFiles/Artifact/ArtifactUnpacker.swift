import Synchronization
import TensorCore

extension ArtifactFile {
  /// Writes the standard file inside the artifact at `path` to `target`: the same bytes as `zstd -d`, decoded on all
  /// threads, checked against the manifest's hashes of header and tensors if there is one, and there whole or not at all.
  ///
  /// Reads any zstd file; one without a seek table on one thread.
  /// - Returns: the number of bytes written.
  /// - Throws: ``ModelFileError``.
  @discardableResult
  public static func unpack(_ path: String, to target: String, progress: Progress? = nil) throws -> Int {
    try AtomicFile.refuse(target, overwriting: [path])
    let file = try map(path)
    guard recognizes(file.region.buffer) else {
      throw ModelFileError(.notAModel, path: path, "no artifact of compress, nor a zstd file")
    }
    guard SeekTable.isPresent(in: file.region.buffer) else {
      try refuseHeadless(file)
      let output = try AtomicFile(path: target)
      var head: [UInt8] = []
      let size = try decodeStream(file.region, path: path, limit: Int.max) { bytes in
        head.append(contentsOf: bytes.prefix(headLimit - head.count))
        try output.write(bytes)
      }
      try checkDecoded(head, size: size, path: path)
      try output.commit()
      return output.byteCount
    }
    let seekable = try SeekableFile(file.region, path: path)
    try checkSpace(seekable.decodedSize, for: target)
    let total = seekable.decodedSize
    if let manifest = try seekable.manifest() {
      let output = try AtomicFile(path: target)
      let unpacker = PartUnpacker(seekable, manifest, progress)
      try output.write(count: total) { try unpacker.run($0) }
      try output.commit()
    } else {
      let output = Locked(try AtomicFile(path: target))
      try seekable.forEachDecoded(naming: { _ in "data" }) { frame, bytes in
        try output.withLock { try $0.write(bytes.buffer) }
        progress?(seekable.frames[frame].decoded.upperBound, total)
      }
      try output.withLock { try $0.commit() }
    }
    return total
  }

  /// The most bytes of a decoded file's start that are kept to judge its length.
  private static let headLimit = 64 << 20

  /// Refuses to start what cannot end.
  ///
  /// - Throws: ``ModelFileError`` when the disk of `path` has not `bytes` left.
  static func checkSpace(_ bytes: Int, for path: String) throws {
    guard let free = AtomicFile.freeSpace(at: path), free < bytes else { return }
    throw ModelFileError(
      .system, path: path, "needs \(bytes) bytes, but the disk has \(free) left",
      advice: "free some space, or name another folder with -o")
  }
}

/// Decodes an artifact's parts, each on one thread, into their places in a file. What makes the whole right: the parts' own
/// hashes, zeros between them, and that no frame is left over. So nothing waits for one hash over all bytes, which a single
/// thread computes no faster than 2 GB/s; and a thread has a few parts open at a time, whose hashes go on together.
private final class PartUnpacker: Sendable {
  private let file: SeekableFile
  private let parts: [(name: String, part: ArtifactManifest.Part)]
  private let progress: ArtifactFile.Progress?
  private let done = Locked(0)
  /// The next place in the order of parts.
  private let next = Atomic<Int>(0)
  /// The failure of the first part in that order, whatever thread met it when.
  private let failed = Locked<(order: Int, error: any Error)?>(nil)

  init(_ file: SeekableFile, _ manifest: ArtifactManifest, _ progress: ArtifactFile.Progress?) {
    self.file = file
    parts = manifest.parts
    self.progress = progress
  }

  func run(_ take: TensorBytes.PieceTaker) throws {
    let frames = try framesOfParts()
    // Large parts first: the threads end at about the same time.
    let order = parts.indices.sorted { (parts[$0].part.count, $1) > (parts[$1].part.count, $0) }
    let threads = Parallel.threadCount
    let together = min(HashStream.together, max(1, order.count / (2 * threads)))
    let queue = PieceQueue(limit: 4 * threads)
    Parallel.forEach(min(threads, order.count)) { _ in
      unpack(together, from: order, frames: frames, queue, take)
    }
    if let failure = failed.withLock({ $0 }) { throw failure.error }
  }

  /// The frames of each part: all there are, in order, the manifest's own left out.
  private func framesOfParts() throws -> [Range<Int>] {
    var next = 0
    let ranges = parts.map { entry in
      let start = next
      let end = entry.part.packedOffset + entry.part.packedCount
      while next < file.frames.count, file.frames[next].packed.upperBound <= end { next += 1 }
      return start..<next
    }
    guard file.frames[next...].allSatisfy(\.decoded.isEmpty) else {
      throw failure("manifest: it does not name all frames")
    }
    return ranges
  }

  /// Unpacks parts until none is left, up to `together` of them at a time, a frame of each in turn.
  private func unpack(
    _ together: Int, from order: [Int], frames: [Range<Int>], _ queue: PieceQueue,
    _ take: TensorBytes.PieceTaker
  ) {
    var open: [OpenPart] = []
    while true {
      while open.count < together {
        let place = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard place < order.count else { break }
        let (name, part) = parts[order[place]]
        open.append(OpenPart(order: place, name: name, part: part, frames: frames[order[place]]))
      }
      guard !open.isEmpty else { return }
      let pieces = open.map { part in attempt(part.order) { try step(part, queue) } ?? nil }
      HashStream.add(
        zip(open, pieces).compactMap { part, piece in piece.map { (part.hash, $0.own) } })
      queue.put(pieces.compactMap(\.self)) { piece in
        attempt(piece.order) { try take(piece.place, UnsafeRawBufferPointer(piece.bytes)) }
      }
      open = zip(open, pieces).compactMap { part, piece in
        guard piece == nil || part.frames.isEmpty else { return part }
        attempt(part.order) { try finish(part) }
        return nil
      }
    }
  }

  /// Decodes a part's next frame; nil where none is left.
  private func step(_ part: OpenPart, _ queue: PieceQueue) throws -> UnpackedPiece? {
    guard let index = part.frames.popFirst() else { return nil }
    let decoded = file.frames[index].decoded
    guard decoded.lowerBound == part.place || decoded.isEmpty else { return nil }
    try file.checkSize(index, what: part.name)
    let room = queue.room(decoded.count)
    let target = UnsafeMutableRawBufferPointer(rebasing: room[..<decoded.count])
    // SHA-256 goes over the same bytes, and zeros are compared.
    try file.decode(index, into: target, isHashed: true, what: part.name)
    let own = min(decoded.count, max(part.end - part.place, 0))
    guard target[own...].allSatisfy({ $0 == 0 }) else {
      throw failure("\(part.name): the padding behind it is not zero")
    }
    let piece = UnpackedPiece(
      order: part.order, place: part.place, room: room, bytes: target,
      own: UnsafeRawBufferPointer(rebasing: target[..<own]))
    part.place = decoded.upperBound
    report(decoded.count)
    return piece
  }

  private func finish(_ part: OpenPart) throws {
    guard part.place >= part.end, FileHash.hexadecimal(part.hash.finish()) == part.sha256 else {
      throw failure("\(part.name): its bytes do not have the SHA-256 of the manifest")
    }
  }

  /// Keeps what `body` throws, unless a part before `order` has failed, or this one before.
  @discardableResult
  private func attempt<Result>(_ order: Int, _ body: () throws -> Result) -> Result? {
    do { return try body() } catch {
      failed.withLock {
        if let first = $0, first.order <= order { return }
        $0 = (order, error)
      }
      return nil
    }
  }

  private func report(_ count: Int) {
    guard let progress else { return }
    done.withLock {
      $0 += count
      progress($0, file.decodedSize)
    }
  }

  private func failure(_ message: String) -> ModelFileError {
    ModelFileError(
      .corrupt, path: file.path, message, advice: "see what is damaged with compress verify")
  }

  /// A part that is being unpacked.
  private final class OpenPart {
    /// The part's place in the order of parts.
    let order: Int
    let name: String
    let sha256: String
    /// Where its bytes end in the decoded file.
    let end: Int
    /// The frames that are left.
    var frames: ArraySlice<Int>
    /// The next byte in the decoded file.
    var place: Int
    let hash = HashStream()

    init(order: Int, name: String, part: ArtifactManifest.Part, frames: Range<Int>) {
      self.order = order
      self.name = name
      sha256 = part.sha256
      end = part.offset + part.count
      self.frames = Array(frames)[...]
      place = part.offset
    }
  }
}
