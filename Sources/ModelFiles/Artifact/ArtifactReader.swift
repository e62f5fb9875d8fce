import CZstd
public import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

extension ArtifactFile {
  /// Whether the bytes start as zstd files do: one of our artifacts, or a file that `zstd` packed.
  public static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool { Zstd.startsFrame(wholeFile) }

  /// Opens an artifact, or any zstd file of a GGUF or safetensors file.
  ///
  /// With a seek table, a tensor is decoded when it is loaded, and only its frames. Without one the whole file is
  /// decoded into memory. What the tensors are comes from the standard header inside, checked against the manifest.
  /// - Throws: ``ModelFileError``.
  public static func read(_ file: MappedFile) throws -> ModelSource {
    guard SeekTable.isPresent(in: file.region.buffer) else { return try readStream(file) }
    let seekable = try SeekableFile(file.region, path: file.path)
    let manifest = try seekable.manifest()
    let (container, index) = try header(of: seekable, manifest: manifest)
    if let manifest { try check(manifest, container: container, index, seekable) }
    let tensors = index.tensors.map { entry in
      StoredTensor(
        name: entry.name, shape: entry.shape, format: entry.format,
        bytes: TensorBytes(
          count: entry.range.count,
          make: {
            seekable.expect(entry.range)
            return try seekable.read(entry.range, what: "tensor '\(entry.name)'")
          },
          start: {
            try seekable.readStart(at: entry.range.lowerBound, count: $0, what: "tensor '\(entry.name)'")
          },
          part: { part in
            let start = entry.range.lowerBound + part.lowerBound
            return try seekable.read(start..<start + part.count, what: "tensor '\(entry.name)'")
          }))
    }
    return source(container, index, tensors, file, manifest)
  }

  private static func source(
    _ container: ModelSource.Container, _ index: ContainerIndex, _ tensors: [StoredTensor],
    _ file: MappedFile,
    _ manifest: ArtifactManifest?
  ) -> ModelSource {
    var source = ModelSource(container: container, path: file.path, files: [file.path], tensors: tensors)
    source.metadata = index.metadata
    source.textMetadata = index.textMetadata
    source.manifest = manifest
    return source
  }

  /// Reads the header: of the length that the manifest states, or by decoding more and more of the file's start.
  static func header(
    of seekable: SeekableFile, manifest: ArtifactManifest?
  ) throws -> (ModelSource.Container, ContainerIndex) {
    let size = seekable.decodedSize
    var length = min(manifest?.header.count ?? frameSize, size)
    while true {
      let prefix = try seekable.read(0..<length, what: "header")
      do {
        return try withExtendedLifetime(prefix) {
          try parse(prefix.buffer, fileSize: size, path: seekable.path)
        }
      } catch let error
        as ModelFileError
      {
        guard error.reason == .truncated, manifest == nil, length < size else { throw error }
        length = length > size / 4 ? size : length * 4
      }
    }
  }

  private static func parse(
    _ prefix: UnsafeRawBufferPointer, fileSize: Int, path: String
  ) throws -> (ModelSource.Container, ContainerIndex) {
    if GGUFFile.recognizes(prefix) {
      return (.gguf, try GGUFFile.index(of: prefix, fileSize: fileSize, path: path))
    }
    if SafetensorsFile.recognizes(prefix) {
      return (.safetensors, try SafetensorsFile.index(of: prefix, fileSize: fileSize, path: path))
    }
    throw ModelFileError(
      .notAModel, path: path, "zstd file of something that is neither GGUF nor safetensors",
      advice: "unpack it with zstd -d, and name what comes out")
  }

  /// Whether the header inside says what the manifest says.
  static func check(
    _ manifest: ArtifactManifest, container: ModelSource.Container, _ index: ContainerIndex,
    _ seekable: SeekableFile
  ) throws {
    func contradiction(_ what: String) -> ModelFileError {
      ModelFileError(
        .corrupt, path: seekable.path, "manifest and file disagree: \(what)", advice: "pack the model again")
    }
    guard manifest.container == container.rawValue else {
      throw contradiction("'\(manifest.container)' against '\(container.rawValue)'")
    }
    guard manifest.tensors.count == index.tensors.count else {
      throw contradiction("\(manifest.tensors.count) tensors against \(index.tensors.count)")
    }
    // Empty tensors share a place, so that the two may list them in different orders.
    let stated = manifest.tensors.sorted {
      ($0.offset, $0.count, $0.name) < ($1.offset, $1.count, $1.name)
    }
    let found = index.tensors.sorted {
      ($0.range.lowerBound, $0.range.count, $0.name) < ($1.range.lowerBound, $1.range.count, $1.name)
    }
    for (stated, found) in zip(stated, found) {
      guard Array(stated.name.utf8) == Array(found.name.utf8), stated.format == found.format.rawValue,
        stated.shape == found.shape, stated.offset == found.range.lowerBound,
        stated.count == found.range.count
      else {
        throw contradiction(
          "tensor '\(stated.name)', \(stated.format) \(stated.shape), \(stated.count) bytes at \(stated.offset), "
            + "against '\(found.name)', \(found.format.rawValue) \(found.shape), \(found.range.count) at "
            + "\(found.range.lowerBound)")
      }
    }
  }
}

// MARK: - Files without a seek table

extension ArtifactFile {
  /// Decodes a plain zstd file into memory: first only to count, so that no size that a file claims is believed.
  private static func readStream(_ file: MappedFile) throws -> ModelSource {
    try refuseHeadless(file)
    let limit = memoryLimit
    var head: [UInt8] = []
    let size = try decodeStream(file.region, path: file.path, limit: limit) { bytes in
      guard head.count < 16 else { return }
      head.append(contentsOf: bytes.prefix(16 - head.count))
      guard head.count >= 9 else { return }
      guard head.withUnsafeBytes({ GGUFFile.recognizes($0) || SafetensorsFile.recognizes($0) }) else {
        throw ModelFileError(
          .notAModel, path: file.path, "zstd file of something that is neither GGUF nor safetensors",
          advice: "unpack it with zstd -d, and name what comes out")
      }
    }
    let region = try ByteRegion(count: size) { target in
      var place = 0
      _ = try decodeStream(file.region, path: file.path, limit: size) { bytes in
        UnsafeMutableRawBufferPointer(rebasing: target[place..<place + bytes.count]).copyMemory(from: bytes)
        place += bytes.count
      }
    }
    let (container, index) = try parse(region.buffer, fileSize: size, path: file.path)
    let tensors = index.tensors.map { entry in
      StoredTensor(
        name: entry.name, shape: entry.shape, format: entry.format,
        bytes: TensorBytes.aligned(region.slice(entry.range), to: entry.format))
    }
    return source(container, index, tensors, file, nil)
  }

  /// Refuses an artifact of ours whose seek table was cut off: its manifest is there, so it is no plain zstd file.
  static func refuseHeadless(_ file: MappedFile) throws {
    let region = file.region
    try withExtendedLifetime(region) {
      var rest = region.buffer[...]
      while !rest.isEmpty {
        let frame = UnsafeRawBufferPointer(rebasing: rest)
        guard !ArtifactManifest.isManifest(frame) else {
          throw ModelFileError(
            .truncated, path: file.path, "the seek table at the end is missing",
            advice: ModelFileError.downloadAgain)
        }
        guard let length = try? Zstd.frameLength(frame), length > 0, length <= rest.count else { return }
        rest = rest.dropFirst(length)
      }
    }
  }

  /// Refuses a decoded GGUF or safetensors file that is shorter or longer than its header says; frames that were cut off
  /// at the end of a zstd file leave no other trace.
  ///
  /// - Parameter head: the first bytes of `size`; a header that is longer is not judged.
  static func checkDecoded(_ head: [UInt8], size: Int, path: String) throws {
    try head.withUnsafeBytes { head in
      guard GGUFFile.recognizes(head) || SafetensorsFile.recognizes(head) else { return }
      do { _ = try parse(head, fileSize: size, path: path) } catch {
        guard head.count == size || (error as? ModelFileError)?.reason != .truncated else { return }
        throw error
      }
    }
  }

  /// Decodes all frames of `file` in order, as `zstd -d` does, a window at a time.
  ///
  /// - Returns: the decoded length.
  /// - Throws: ``ModelFileError`` when it exceeds `limit`, or a frame is damaged or cut; what `consume` throws.
  package static func decodeStream(
    _ file: ByteRegion, path: String, limit: Int, _ consume: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> Int {
    guard let context = ZSTD_createDCtx() else { throw AtomicFile.failure(ENOMEM, "decode", path) }
    defer { ZSTD_freeDCtx(context) }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: ZSTD_DStreamOutSize(), alignment: 64)
    defer { room.deallocate() }
    var input = ZSTD_inBuffer(src: file.base, size: file.count, pos: 0)
    var (total, open) = (0, 0)
    while true {
      var output = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
      open = ZSTD_decompressStream(context, &output, &input)
      guard ZSTD_isError(open) == 0 else {
        throw ModelFileError(
          .corrupt, path: path,
          "zstd data before byte \(input.pos): \(String(cString: ZSTD_getErrorName(open)))",
          advice: ModelFileError.downloadAgain)
      }
      total += output.pos
      guard total <= limit else {
        throw ModelFileError(
          .unsupported, path: path, "decodes to more than \(limit) bytes, half of this machine's memory",
          advice: "unpack it with zstd -d, and name what comes out")
      }
      try consume(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[..<output.pos]))
      if input.pos == input.size, open == 0 || output.pos < output.size { break }
    }
    guard open == 0 else {
      throw ModelFileError(
        .truncated, path: path, "the last zstd frame is cut off", advice: ModelFileError.downloadAgain)
    }
    return total
  }

  /// Half of the machine's memory.
  static var memoryLimit: Int {
    let pages = max(sysconf(Int32(_SC_PHYS_PAGES)), 1 << 16)
    return pages / 2 * max(sysconf(Int32(_SC_PAGESIZE)), 4096)
  }
}
