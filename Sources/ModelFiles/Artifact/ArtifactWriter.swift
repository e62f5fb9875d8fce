public import TensorCore

extension ArtifactFile {
  /// Packs `layout` into an artifact at `path`, which appears whole or not at all.
  ///
  /// The bytes depend on the layout, the level, the other arguments and libzstd's version, not on the number of threads.
  /// Memory: one tensor, and for each thread about 24 MiB.
  /// - Parameters:
  ///   - level: zstd's, 1 to 22.
  ///   - recipe: the resolved recipe, and the stage's place in it.
  ///   - source: name → SHA-256 of the files that the model came from; asked for when all tensors are written.
  ///   - original: the one file that the model came from, where the decoded file may turn out to be the same. Then its hash is
  ///     known, and `source` is not asked for.
  ///   - inspection: looks at tensors as they go by, and may refuse them.
  /// - Throws: ``ModelFileError``, or what loading a tensor throws.
  @discardableResult
  public static func write(
    _ layout: ContainerLayout, to path: String, level: Int = defaultLevel,
    recipe: JSONValue = .object(JSONObject()), source: @autoclosure () throws -> [String: String] = [:],
    original: (name: String, contents: ByteRegion)? = nil, inspection: Inspection? = nil,
    toolVersion: String, progress: Progress? = nil
  ) throws -> Summary {
    let clock = ContinuousClock()
    let start = clock.now
    let file = try AtomicFile(path: path)
    let writer = ArtifactWriter(
      layout, to: file, level: level, original: original?.contents, inspection: inspection,
      progress: progress)
    try ReusedMemory.keeping { try writer.writeFrames() }
    try inspection?.conclude()
    var manifest = writer.manifest(recipe: recipe, toolVersion: toolVersion)
    manifest.source =
      if let original, writer.repeatsOriginal { [original.name: manifest.sha256] } else { try source() }
    try writer.finish(with: manifest)
    try file.commit()
    return Summary(
      bytes: file.byteCount, decodedBytes: layout.size, merkleRoot: manifest.merkleRoot,
      sha256: manifest.sha256,
      seconds: (clock.now - start) / .seconds(1))
  }
}

extension ArtifactFile {
  /// A look at tensors while they are packed, when their bytes are in the cache anyway.
  public struct Inspection: Sendable {
    /// Takes a tensor, all of its bytes and the range of them that is packed next; on several threads at once and in any order.
    let look: @Sendable (_ tensor: StoredTensor, _ bytes: ByteRegion, _ range: Range<Int>) -> Void
    /// Called when all was seen; what it throws, packing throws, and no artifact is left.
    let conclude: @Sendable () throws -> Void

    /// A look by these functions.
    public init(
      look: @escaping @Sendable (_ tensor: StoredTensor, _ bytes: ByteRegion, _ range: Range<Int>) -> Void,
      conclude: @escaping @Sendable () throws -> Void
    ) {
      self.look = look
      self.conclude = conclude
    }
  }
}

/// Cuts a layout into frames, compresses them a batch at a time on all threads, and writes them in order; a batch is written while
/// the next is compressed.
private final class ArtifactWriter {
  private let layout: ContainerLayout
  private let path: String
  private let level: Int
  private let compressor: ZstdCompressor
  private let inspection: ArtifactFile.Inspection?
  private let progress: ArtifactFile.Progress?
  private let hashes: ArtifactHashes
  private let output: FrameOutput
  private var waiting: [(piece: ArtifactPiece, frame: PackedFrame?)] = []
  private var batch: [ArtifactPiece] = []
  private var batchBytes = 0

  /// Whether the decoded file is the original, byte for byte.
  var repeatsOriginal: Bool { hashes.repeatsOriginal && output.decodedBytes == originalCount }
  private let originalCount: Int?

  init(
    _ layout: ContainerLayout, to file: AtomicFile, level: Int, original: ByteRegion?,
    inspection: ArtifactFile.Inspection?, progress: ArtifactFile.Progress?
  ) {
    self.layout = layout
    originalCount = original?.count
    hashes = ArtifactHashes(original: original)
    path = file.path
    output = FrameOutput(file)
    self.level = level
    self.inspection = inspection
    self.progress = progress
    compressor = ZstdCompressor(level: level)
  }

  func writeFrames() throws {
    try add(layout.prefix, padding: 0, of: nil)
    for placement in layout.tensors {
      let tensor = placement.tensor
      let bytes = try tensor.bytes.load()
      guard bytes.count == tensor.bytes.count else {
        throw failure("tensor '\(tensor.name)' gave \(bytes.count) bytes instead of \(tensor.bytes.count)")
      }
      try add(bytes, padding: placement.paddingAfter, of: tensor)
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
  private func add(_ bytes: ByteRegion, padding: Int, of tensor: StoredTensor?) throws {
    var place = 0
    var cuts: ArraySlice<Int> = []
    var isCodes = false
    if case .codes(let make)? = tensor?.stream {
      isCodes = true
      cuts = bytes.withBytes { make($0) }.sorted()[...]
    }
    repeat {
      while let cut = cuts.first, cut <= place { cuts.removeFirst() }
      let end = min(place + ArtifactFile.frameSize, bytes.count, cuts.first ?? Int.max)
      let isLast = end == bytes.count
      var piece = ArtifactPiece(
        contents: bytes.slice(place..<end), padding: isLast ? padding : 0, endsPart: isLast,
        isCodes: isCodes)
      if let tensor, let look = inspection?.look {
        piece.look = { [range = place..<end] in look(tensor, bytes, range) }
      }
      batch.append(piece)
      batchBytes += piece.count
      place = end
      if batchBytes >= 8 * ArtifactFile.frameSize * Parallel.threadCount || batch.count >= 4096 {
        try writeBatch()
      }
    } while place < bytes.count
  }

  private func writeBatch() throws {
    let pieces = batch
    batch = []
    batchBytes = 0
    let frames = Locked([PackedFrame?](repeating: nil, count: pieces.count))
    let (compressor, path, output, hashes, waiting) = (compressor, path, output, hashes, waiting)
    // The hashes go over all pieces in order, beside the compression, and so does the writing of the batch before.
    let shares = ArtifactHashes.shares(on: Parallel.threadCount)
    try Parallel.forEachThrowing(1 + shares.count + pieces.count) { task in
      if task == 0 {
        for (piece, frame) in waiting { try output.write(frame, of: piece) }
      } else if task <= shares.count {
        hashes.add(shares[task - 1], pieces, packed: waiting)
      } else {
        let index = task - shares.count - 1
        let piece = pieces[index]
        guard piece.count > 0 else { return }
        piece.look?()
        do {
          let frame = try Self.withContents(of: piece) {
            try piece.isCodes ? compressor.frame(ofCodes: $0) : compressor.frame(of: $0)
          }
          frames.withLock { $0[index] = frame }
        } catch let error as Zstd.Failure {
          throw ModelFileError(.system, path: path, "zstd cannot compress: \(error)")
        }
      }
    }
    for piece in pieces { piece.contents.letGo() }
    self.waiting = zip(pieces, frames.withLock { $0 }).map { (piece: $0, frame: $1) }
    progress?(output.decodedBytes, layout.size)
  }

  private static func withContents<Result>(
    of piece: ArtifactPiece, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    guard piece.padding > 0 else { return try body(piece.contents.buffer) }
    let gathered = ByteRegion(count: piece.count) { $0.copyMemory(from: piece.contents.buffer) }
    return try withExtendedLifetime(gathered) { try body(gathered.buffer) }
  }

  /// The manifest, but for the source.
  func manifest(recipe: JSONValue, toolVersion: String) -> ArtifactManifest {
    func part(_ index: Int, offset: Int, count: Int) -> ArtifactManifest.Part {
      let packed = output.parts[index]
      return ArtifactManifest.Part(
        offset: offset, count: count, sha256: hashes.parts[index], packedOffset: packed.offset,
        packedCount: packed.count, packedSHA256: hashes.packedParts[index])
    }
    let tensors = layout.tensors.enumerated().map { place, placement in
      ArtifactManifest.Tensor(
        name: placement.tensor.name, format: placement.tensor.format.rawValue, shape: placement.tensor.shape,
        part: part(place + 1, offset: placement.offset, count: placement.tensor.bytes.count))
    }
    return ArtifactManifest(
      container: layout.container, decodedSize: layout.size,
      sha256: hashes.finish(), merkleRoot: MerkleTree.root(of: tensors),
      header: part(0, offset: 0, count: layout.prefix.count), tensors: tensors, level: level,
      zstdVersion: Zstd.version, source: [:], recipe: recipe, toolVersion: toolVersion)
  }

  func finish(with manifest: ArtifactManifest) throws { try output.finish(with: manifest) }

  /// Takes finished frames in order.
  private final class FrameOutput: @unchecked Sendable {  // one thread at a time writes
    private let file: AtomicFile
    private var partStart = 0
    private var entries: [SeekTable.Entry] = []
    private(set) var parts: [(offset: Int, count: Int)] = []
    private(set) var decodedBytes = 0

    init(_ file: AtomicFile) { self.file = file }

    func write(_ frame: PackedFrame?, of piece: ArtifactPiece) throws {
      if let frame {
        let bytes = frame.bytes
        try withExtendedLifetime(frame) { try file.write(bytes) }
        // zstd ends a frame with the low half of XXH64 of its contents: what the seek table wants, too.
        entries.append(
          SeekTable.Entry(packed: UInt32(bytes.count), decoded: UInt32(piece.count), checksum: frame.checksum)
        )
        decodedBytes += piece.count
      }
      guard piece.endsPart else { return }
      parts.append((partStart, file.byteCount - partStart))
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
