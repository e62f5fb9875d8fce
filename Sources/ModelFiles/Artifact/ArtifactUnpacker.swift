import Crypto
import TensorCore

extension ArtifactFile {
  /// Writes the standard file inside the artifact at `path` to `target`: the same bytes as `zstd -d`, decoded on all
  /// threads, checked against the manifest's SHA-256 if there is one, and there whole or not at all.
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
    let manifest = try seekable.manifest()
    try checkSpace(seekable.decodedSize, for: target)
    let output = Locked(try AtomicFile(path: target))
    let hash = Locked(SHA256())
    let total = seekable.decodedSize
    try seekable.forEachDecoded(
      naming: { name(ofFrame: $0, in: seekable, manifest) },
      { _, bytes in
        guard manifest != nil else { return }
        hash.withLock { $0.update(bufferPointer: bytes.buffer) }
      },
      { frame, bytes in
        try output.withLock { try $0.write(bytes.buffer) }
        progress?(seekable.frames[frame].decoded.upperBound, total)
      })
    if let manifest, hash.withLock({ $0.finalize().hexadecimal }) != manifest.sha256 {
      throw ModelFileError(
        .corrupt, path: path, "the decoded file does not have the SHA-256 that the manifest states",
        advice: "see what is damaged with compress verify")
    }
    try output.withLock { try $0.commit() }
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

  private static func name(ofFrame index: Int, in file: SeekableFile, _ manifest: ArtifactManifest?) -> String
  {
    let place = file.frames[index].packed.lowerBound
    let owner = manifest?.parts.first {
      $0.part.packedOffset <= place && place < $0.part.packedOffset + $0.part.packedCount
    }
    return owner?.name ?? "data"
  }
}
