import Crypto
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

/// Decodes an artifact's parts, each on a thread of its own, into their places in a file. What makes the whole right: the
/// parts' own hashes, zeros between them, and that no frame is left over. So nothing waits for one hash over all bytes,
/// which a single thread computes no faster than 2 GB/s.
private struct PartUnpacker: Sendable {
  private let file: SeekableFile
  private let parts: [(name: String, part: ArtifactManifest.Part)]
  private let progress: ArtifactFile.Progress?
  private let done = Locked(0)

  init(_ file: SeekableFile, _ manifest: ArtifactManifest, _ progress: ArtifactFile.Progress?) {
    self.file = file
    parts = manifest.parts
    self.progress = progress
  }

  func run(_ take: TensorBytes.PieceTaker) throws {
    let frames = try framesOfParts()
    // Large parts first: the threads end at about the same time.
    let order = parts.indices.sorted { (parts[$0].part.count, $1) > (parts[$1].part.count, $0) }
    try Parallel.forEachThrowing(order.count) { try unpack(parts[order[$0]], frames[order[$0]], take) }
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

  private func unpack(
    _ entry: (name: String, part: ArtifactManifest.Part), _ frames: Range<Int>, _ take: TensorBytes.PieceTaker
  ) throws {
    var hash = SHA256()
    let end = entry.part.offset + entry.part.count
    var place = entry.part.offset
    for index in frames { try file.checkSize(index, what: entry.name) }
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: frames.map { file.frames[$0].decoded.count }.max() ?? 0, alignment: 64)
    defer { room.deallocate() }
    for index in frames {
      let decoded = file.frames[index].decoded
      guard decoded.lowerBound == place || decoded.isEmpty else { break }
      let target = UnsafeMutableRawBufferPointer(rebasing: room[..<decoded.count])
      try file.decode(index, into: target, what: entry.name)
      let bytes = UnsafeRawBufferPointer(target)
      let own = min(bytes.count, max(end - place, 0))
      hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<own]))
      guard bytes[own...].allSatisfy({ $0 == 0 }) else {
        throw failure("\(entry.name): the padding behind it is not zero")
      }
      try take(place, bytes)
      place = decoded.upperBound
      report(bytes.count)
    }
    guard place >= end, hash.finalize().hexadecimal == entry.part.sha256 else {
      throw failure("\(entry.name): its bytes do not have the SHA-256 of the manifest")
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
}
