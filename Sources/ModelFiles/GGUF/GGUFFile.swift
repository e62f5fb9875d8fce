public import TensorCore

/// Reads GGUF files (ggml, `docs/gguf.md`), versions 2 and 3, little endian.
public enum GGUFFile {
  /// The most dimensions that a tensor has (`GGML_MAX_DIMS`).
  public static let dimensionLimit = 4
  /// How deep arrays of metadata may nest: bounds recursion, so a crafted file cannot overflow the stack.
  package static let depthLimit = 8
  /// How many elements arrays of metadata may have in the whole file, where one takes more memory than it takes in
  /// the file: bounds memory.
  package static let boxedLimit = 1 << 24

  /// Whether the bytes start with GGUF's magic.
  public static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool {
    wholeFile.count >= 4 && wholeFile[..<4].elementsEqual("GGUF".utf8)
  }

  /// Reads the header and checks it against the file; tensors share the mapped file's memory. A file that is one part
  /// of a split model opens all the parts, which lie beside it.
  ///
  /// - Throws: ``ModelFileError``.
  public static func read(_ file: MappedFile) throws -> ModelSource {
    let part = try readPart(file)
    return try GGUFSplit.isPart(part) ? GGUFSplit.join(startingWith: part) : part
  }

  /// Reads one file, split or not.
  static func readPart(_ file: MappedFile) throws -> ModelSource {
    let index = try index(of: file.region.buffer, fileSize: file.region.count, path: file.path)
    let tensors = index.tensors.map { entry in
      StoredTensor(
        name: entry.name, shape: entry.shape, format: entry.format,
        bytes: TensorBytes.aligned(file.region.slice(entry.range), to: entry.format))
    }
    var source = ModelSource(container: .gguf, path: file.path, files: [file.path], tensors: tensors)
    source.metadata = index.metadata
    source.wholeFile = file.region
    return source
  }

  /// Where the tensors of a file of `fileSize` bytes lie; `prefix` is its start, at least the whole header.
  ///
  /// - Throws: ``ModelFileError`` unless every tensor is aligned and inside the file, and none overlap.
  public static func index(
    of prefix: UnsafeRawBufferPointer, fileSize: Int, path: String
  ) throws -> ContainerIndex {
    var reader = GGUFReader(bytes: prefix, path: path)
    let (tensorCount, entryCount) = try reader.head()
    let metadata = try reader.metadata(count: entryCount)
    let alignment = try alignment(in: metadata, path: path)
    let infos = try reader.tensorInfos(count: tensorCount)
    let headerEnd = reader.place
    let dataOffset = headerEnd + GGUFWriter.padding(after: headerEnd, alignment: alignment)
    let tensors = try infos.map { info in
      try entry(info, alignment: alignment, dataOffset: dataOffset, fileSize: fileSize, path: path)
    }
    try checkOverlaps(tensors, dataOffset: dataOffset, path: path)
    return ContainerIndex(tensors: tensors, metadata: metadata, dataOffset: dataOffset)
  }

  private static func alignment(in metadata: [GGUFEntry], path: String) throws -> Int {
    guard let value = metadata["general.alignment"] else { return GGUFWriter.defaultAlignment }
    guard case .uint32(let alignment) = value, alignment >= 8, alignment.nonzeroBitCount == 1 else {
      throw ModelFileError(
        .badStructure, path: path,
        "general.alignment is \(value): it must be a uint32, a power of two, at least 8")
    }
    return Int(alignment)
  }

  private static func entry(
    _ info: GGUFReader.TensorInfo, alignment: Int, dataOffset: Int, fileSize: Int, path: String
  ) throws -> ContainerIndex.Entry {
    func failure(_ reason: ModelFileError.Reason, _ message: String, advice: String? = nil) -> ModelFileError
    {
      ModelFileError(reason, path: path, "tensor '\(info.name)' \(message)", advice: advice)
    }
    guard let format = GGUFTypes.format(of: info.type) else {
      guard let name = GGUFTypes.name(of: info.type) else {
        throw failure(.unsupported, "has the unknown ggml type \(info.type)")
      }
      throw failure(
        .unsupported, "is stored as \(name) (ggml type \(info.type)), which is not supported",
        advice: "start from an F16, BF16 or F32 file of the model")
    }
    let sizes = info.shape.map(Int.init(exactly:))
    let shape = sizes.compactMap(\.self)
    guard shape.count == sizes.count,
      let elements = StoredTensor.byteCount(shape: shape, format: .i8), elements <= Int.max / 8
    else { throw failure(.badStructure, "has an impossible shape \(info.shape): its size overflows") }
    guard let count = StoredTensor.byteCount(shape: shape, format: format) else {
      throw failure(
        .badStructure,
        "has rows of \(shape.last ?? 1), which do not fill the blocks of \(format.blockSize) of "
          + format.rawValue.uppercased())
    }
    guard info.offset % UInt64(alignment) == 0 else {
      throw failure(
        .badStructure, "starts at offset \(info.offset), which is no multiple of the alignment \(alignment)")
    }
    let room = fileSize - dataOffset
    guard info.offset <= UInt64(max(room, 0)), count <= max(room, 0) - Int(info.offset) else {
      throw failure(
        .truncated,
        "has \(count) bytes at offset \(info.offset) of the data, but the file has only \(max(room, 0)) there",
        advice: ModelFileError.downloadAgain)
    }
    // An empty tensor needs no room, not even the padding that brings the header's end to `dataOffset`.
    let start = min(dataOffset + Int(info.offset), fileSize)
    return .init(name: info.name, shape: shape, format: format, range: start..<start + count)
  }

  private static func checkOverlaps(_ tensors: [ContainerIndex.Entry], dataOffset: Int, path: String) throws {
    let ordered = tensors.filter { !$0.range.isEmpty }.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (left, right) in zip(ordered, ordered.dropFirst())
    where right.range.lowerBound < left.range.upperBound {
      throw ModelFileError(
        .badStructure, path: path,
        "tensors '\(left.name)' and '\(right.name)' overlap at offset \(right.range.lowerBound - dataOffset) of the data"
      )
    }
  }
}
