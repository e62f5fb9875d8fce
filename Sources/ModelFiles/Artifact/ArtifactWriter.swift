import Crypto
import TensorCore

extension ArtifactFile {
  /// Packs `layout` into an artifact at `path`, which appears whole or not at all.
  ///
  /// The bytes depend on the layout, the level, the other arguments and libzstd's version, not on the number of threads.
  /// Memory: one tensor, and for each thread about 12 MiB.
  /// - Parameters:
  ///   - level: zstd's, 1 to 22.
  ///   - recipe: the resolved recipe, and the stage's place in it.
  ///   - source: name → SHA-256 of the files that the model came from; asked for when all tensors are written.
  /// - Throws: ``ModelFileError``, or what loading a tensor throws.
  @discardableResult
  public static func write(
    _ layout: ContainerLayout, to path: String, level: Int = defaultLevel,
    recipe: JSONValue = .object(JSONObject()), source: @autoclosure () throws -> [String: String] = [:],
    toolVersion: String, progress: Progress? = nil
  ) throws -> Summary {
    let clock = ContinuousClock()
    let start = clock.now
    let file = try AtomicFile(path: path)
    let writer = ArtifactWriter(layout, to: file, level: level, progress: progress)
    try writer.writeFrames()
    let manifest = try writer.manifest(recipe: recipe, source: try source(), toolVersion: toolVersion)
    try writer.finish(with: manifest)
    try file.commit()
    return Summary(
      bytes: file.byteCount, decodedBytes: layout.size, merkleRoot: manifest.merkleRoot,
      sha256: manifest.sha256,
      seconds: (clock.now - start) / .seconds(1))
  }
}

/// Cuts a layout into frames, compresses them a batch at a time on all threads, and writes them in order; a batch is written while
/// the next is compressed.
private final class ArtifactWriter {
  /// What one frame holds: a slice of a part, and for a part's last frame the padding behind it.
  private struct Piece: Sendable {
    let part: Int
    let contents: ByteRegion
    let padding: Int
    let endsPart: Bool
    let isCodes: Bool
    var count: Int { contents.count + padding }
  }

  private let layout: ContainerLayout
  private let path: String
  private let level: Int
  private let compressor: ZstdCompressor
  private let progress: ArtifactFile.Progress?
  private let wholeHash = Locked(SHA256())
  private let partHash = Locked(SHA256())
  private let partHashes = Locked<[String]>([])
  private let output: FrameOutput
  private var waiting: (pieces: [Piece], frames: [[UInt8]]) = ([], [])
  private var batch: [Piece] = []
  private var batchBytes = 0

  init(_ layout: ContainerLayout, to file: AtomicFile, level: Int, progress: ArtifactFile.Progress?) {
    self.layout = layout
    path = file.path
    output = FrameOutput(file)
    self.level = level
    self.progress = progress
    compressor = ZstdCompressor(level: level)
  }

  func writeFrames() throws {
    try add(layout.prefix, padding: 0, part: 0, stream: .plain)
    for (place, placement) in layout.tensors.enumerated() {
      let tensor = placement.tensor
      let bytes = try tensor.bytes.load()
      guard bytes.count == tensor.bytes.count else {
        throw failure("tensor '\(tensor.name)' gave \(bytes.count) bytes instead of \(tensor.bytes.count)")
      }
      try add(bytes, padding: placement.paddingAfter, part: place + 1, stream: tensor.stream)
    }
    try writeBatch()
    try writeBatch()
    guard output.decodedBytes == layout.size else {
      throw failure("the layout promises \(layout.size) bytes and gave \(output.decodedBytes)")
    }
  }

  private func failure(_ message: String) -> ModelFileError {
    ModelFileError(.badStructure, path: path, message)
  }

  /// Queues a part's frames: padding counts towards the size of the last, so that it may exceed the limit by it.
  private func add(_ bytes: ByteRegion, padding: Int, part: Int, stream: TensorStream) throws {
    var place = 0
    var cuts: ArraySlice<Int> = []
    var isCodes = false
    if case .codes(let make) = stream {
      isCodes = true
      cuts = bytes.withBytes { make($0) }.sorted()[...]
    }
    repeat {
      while let cut = cuts.first, cut <= place { cuts.removeFirst() }
      let end = min(place + ArtifactFile.frameSize, bytes.count, cuts.first ?? Int.max)
      let isLast = end == bytes.count
      let piece = Piece(
        part: part, contents: bytes.slice(place..<end), padding: isLast ? padding : 0, endsPart: isLast,
        isCodes: isCodes)
      batch.append(piece)
      batchBytes += piece.count
      place = end
      if batchBytes >= 4 * ArtifactFile.frameSize * Parallel.threadCount || batch.count >= 4096 {
        try writeBatch()
      }
    } while place < bytes.count
  }

  private func writeBatch() throws {
    let pieces = batch
    batch = []
    batchBytes = 0
    let frames = Locked([[UInt8]](repeating: [], count: pieces.count))
    let (compressor, path, output, waiting) = (compressor, path, output, waiting)
    let (wholeHash, partHash, partHashes) = (wholeHash, partHash, partHashes)
    // The two hashes go over all pieces in order, beside the compression, and so does the writing of the batch before.
    try Parallel.forEachThrowing(pieces.count + 3) { task in
      switch task {
      case 0: for (piece, frame) in zip(waiting.pieces, waiting.frames) { try output.write(frame, of: piece) }
      case 1: wholeHash.withLock { hash in for piece in pieces { Self.update(&hash, with: piece) } }
      case 2: Self.hashParts(of: pieces, partHash, into: partHashes)
      default:
        let piece = pieces[task - 3]
        guard piece.count > 0 else { return }
        do {
          let frame = try Self.withContents(of: piece) {
            try piece.isCodes ? compressor.frame(ofCodes: $0) : compressor.frame(of: $0)
          }
          frames.withLock { $0[task - 3] = frame }
        } catch let error as Zstd.Failure {
          throw ModelFileError(.system, path: path, "zstd cannot compress: \(error)")
        }
      }
    }
    for piece in pieces { piece.contents.letGo() }
    self.waiting = (pieces, frames.withLock { $0 })
    progress?(output.decodedBytes, layout.size)
  }

  private static func update(_ hash: inout SHA256, with piece: Piece) {
    hash.update(bufferPointer: piece.contents.buffer)
    if piece.padding > 0 { hash.update(data: [UInt8](repeating: 0, count: piece.padding)) }
  }

  private static func hashParts(of pieces: [Piece], _ hash: Locked<SHA256>, into hashes: Locked<[String]>) {
    hash.withLock { hash in
      for piece in pieces {
        hash.update(bufferPointer: piece.contents.buffer)
        guard piece.endsPart else { continue }
        let digest = hash.finalize().hexadecimal
        hashes.withLock { $0.append(digest) }
        hash = SHA256()
      }
    }
  }

  private static func withContents<Result>(
    of piece: Piece, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    guard piece.padding > 0 else { return try body(piece.contents.buffer) }
    let gathered = ByteRegion(count: piece.count) { $0.copyMemory(from: piece.contents.buffer) }
    return try withExtendedLifetime(gathered) { try body(gathered.buffer) }
  }

  func manifest(recipe: JSONValue, source: [String: String], toolVersion: String) throws -> ArtifactManifest {
    let hashes = partHashes.withLock { $0 }
    func part(_ index: Int, offset: Int, count: Int) -> ArtifactManifest.Part {
      let packed = output.parts[index]
      return ArtifactManifest.Part(
        offset: offset, count: count, sha256: hashes[index], packedOffset: packed.offset,
        packedCount: packed.count, packedSHA256: packed.sha256)
    }
    let tensors = layout.tensors.enumerated().map { place, placement in
      ArtifactManifest.Tensor(
        name: placement.tensor.name, format: placement.tensor.format.rawValue, shape: placement.tensor.shape,
        part: part(place + 1, offset: placement.offset, count: placement.tensor.bytes.count))
    }
    return ArtifactManifest(
      container: layout.container, decodedSize: layout.size,
      sha256: wholeHash.withLock { $0.finalize().hexadecimal }, merkleRoot: MerkleTree.root(of: tensors),
      header: part(0, offset: 0, count: layout.prefix.count), tensors: tensors, level: level,
      zstdVersion: Zstd.version, source: source, recipe: recipe, toolVersion: toolVersion)
  }

  func finish(with manifest: ArtifactManifest) throws { try output.finish(with: manifest) }

  /// Takes finished frames in order.
  private final class FrameOutput: @unchecked Sendable {  // one thread at a time writes
    private let file: AtomicFile
    private var hash = SHA256()
    private var partStart = 0
    private var entries: [SeekTable.Entry] = []
    private(set) var parts: [(offset: Int, count: Int, sha256: String)] = []
    private(set) var decodedBytes = 0

    init(_ file: AtomicFile) { self.file = file }

    func write(_ frame: [UInt8], of piece: Piece) throws {
      if !frame.isEmpty {
        try frame.withUnsafeBytes { bytes in
          hash.update(bufferPointer: bytes)
          try file.write(bytes)
          // zstd ends a frame with the low half of XXH64 of its contents: what the seek table wants, too.
          entries.append(
            SeekTable.Entry(
              packed: UInt32(bytes.count), decoded: UInt32(piece.count),
              checksum: bytes.littleEndian32(at: bytes.count - 4)))
        }
        decodedBytes += piece.count
      }
      guard piece.endsPart else { return }
      parts.append((partStart, file.byteCount - partStart, hash.finalize().hexadecimal))
      hash = SHA256()
      partStart = file.byteCount
    }

    func finish(with manifest: ArtifactManifest) throws {
      let frame = manifest.frame
      entries.append(
        SeekTable.Entry(packed: UInt32(frame.count), decoded: 0, checksum: SeekTable.checksumOfNothing))
      try frame.withUnsafeBytes { try file.write($0) }
      try SeekTable(entries: entries).bytes.withUnsafeBytes { try file.write($0) }
    }
  }
}
