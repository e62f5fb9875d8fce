import Foundation
import ModelFiles
import TensorCore
import Testing

@Suite(.serialized) struct ArtifactTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: ["gguf", "safetensors"], [false, true])
  func roundTrip(container: String, large: Bool) throws {
    let path = folder.file("model.zst")
    let layout = try ArtifactSamples.layout(container, large: large)
    let summary = try ArtifactSamples.pack(layout, to: path)
    let source = try ArtifactFile.read(MappedFile(path: path))

    #expect(source.container.rawValue == container)
    #expect(source.tensors.map(\.name).sorted() == layout.tensors.map(\.tensor.name).sorted())
    for placement in layout.tensors {
      let tensor = try #require(source.tensors.first { $0.name == placement.tensor.name })
      #expect(tensor.shape == placement.tensor.shape && tensor.format == placement.tensor.format)
      #expect(try ArtifactSamples.contents(tensor) == ArtifactSamples.contents(placement.tensor))
    }
    let manifest = try #require(source.manifest)
    #expect(manifest.recipe == ArtifactSamples.recipe && manifest.toolVersion == "0.1.0-test")
    #expect(manifest.source == ["model.bin": String(repeating: "0a", count: 32)])
    #expect(manifest.merkleRoot == summary.merkleRoot && manifest.level == ArtifactFile.defaultLevel)
    #expect(summary.bytes == (try ArtifactSamples.bytes(path).count) && summary.decodedBytes == layout.size)
    let report = try ArtifactFile.verify(path)
    #expect(report.tensorCount == 4 && report.decodedBytes == layout.size && report.sha256 == summary.sha256)
    #expect(folder.contents == ["model.zst"])
  }

  @Test(arguments: ["gguf", "safetensors"], [1, 19])
  func unpackEqualsTheStandardFile(container: String, level: Int) throws {
    let (path, target) = (folder.file("model.zst"), folder.file("model"))
    let layout = try ArtifactSamples.layout(container, large: true)
    try ArtifactSamples.pack(layout, to: path, level: level)
    let plain = try ArtifactSamples.plain(layout)
    #expect(try ArtifactFile.unpack(path, to: target) == plain.count)
    #expect(try ArtifactSamples.bytes(target) == plain)
    var streamed: [UInt8] = []
    let count = try ArtifactFile.decodeStream(MappedFile(path: path).region, path: path, limit: .max) {
      streamed.append(contentsOf: $0)
    }
    #expect(count == plain.count && streamed == plain)
    if let output = try zstd("-d", "-c", path) { #expect(output == plain) }
    #expect(throws: ModelFileError.self) { try ArtifactFile.unpack(path, to: path) }
    #expect(try ArtifactFile.verify(path).bytes > 0)
  }

  @Test func sameBytesForAnyNumberOfThreads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let layout = try ArtifactSamples.layout("gguf", large: true)
    var outputs: Set<[UInt8]> = []
    for threads in 1...4 {
      Parallel.threadCount = threads
      try ArtifactSamples.pack(layout, to: folder.file("model.zst"))
      outputs.insert(try ArtifactSamples.bytes(folder.file("model.zst")))
      try ArtifactFile.verify(folder.file("model.zst"))
    }
    #expect(outputs.count == 1)
  }

  /// Tensors are decoded ahead where they are loaded in the file's order; any order gives the same bytes, again and again.
  @Test func tensorsInAnyOrder() throws {
    let names = (0..<40).map { "tensor \($0)" }
    let tensors = names.enumerated().map { place, name in
      ArtifactSamples.tensor(name, [1 + place * 37 % 11, 1000 * (1 + place % 3) + 1], seed: UInt64(place))
    }
    let layout = try GGUFWriter.layout(
      metadata: [GGUFEntry("general.architecture", .string("llama"))], tensors: tensors)
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(layout, to: path)
    var generator = SeededGenerator(seed: 5)
    let orders = [
      Array(names.indices), names.indices.reversed(), names.indices.shuffled(using: &generator),
      names.indices.flatMap { [$0, $0] }, names.indices.map { $0 ^ 3 },
    ]
    for order in orders {
      let source = try ArtifactFile.read(MappedFile(path: path))
      for place in order {
        let tensor = try #require(source.tensors.first { $0.name == names[place] })
        #expect(try ArtifactSamples.contents(tensor) == ArtifactSamples.contents(tensors[place]))
      }
    }
  }

  /// A GGUF file's layout, read from the file, gives the same file; with other bytes between tensors there is none.
  @Test func layoutOfAFile() throws {
    let plain = try ArtifactSamples.plain(try ArtifactSamples.layout("gguf", large: true))
    let layout = try #require(try GGUFFile.layout(repeating: ByteRegion(plain), path: "model.gguf"))
    #expect(try ArtifactSamples.plain(layout) == plain)
    let first = try #require(layout.tensors.first { $0.paddingAfter > 0 })
    var other = plain
    other[first.offset + first.tensor.bytes.count] = 1
    #expect(try GGUFFile.layout(repeating: ByteRegion(other), path: "model.gguf") == nil)
    // The source's hash is that of what was packed, and nobody asks for it otherwise.
    struct Asked: Error {}
    let path = folder.file("model.zst")
    func pack(_ original: [UInt8]) throws -> [String: String]? {
      try ArtifactFile.write(
        layout, to: path, source: try { throw Asked() }(), original: ("model.gguf", ByteRegion(original)),
        toolVersion: "test")
      return try ArtifactFile.read(MappedFile(path: path)).manifest?.source
    }
    #expect(try pack(plain) == ["model.gguf": FileHash.sha256(of: ByteRegion(plain))])
    #expect(throws: Asked.self) { try pack(other) }
    #expect(throws: Asked.self) { try pack(plain + [0]) }
  }

  @Test(arguments: ["gguf", "safetensors"])
  func startsOfTensors(container: String) throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout(container, large: true), to: path)
    for tensor in try ArtifactFile.read(MappedFile(path: path)).tensors {
      let whole = try ArtifactSamples.contents(tensor)
      for count in [0, 1, 5, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 3, whole.count, whole.count + 1] {
        let start = try tensor.bytes.loadStart(count)
        #expect(withExtendedLifetime(start) { Array(start.buffer) } == Array(whole.prefix(count)))
      }
    }
  }

  @Test func inspectionSeesAllBytesOnceAndMayRefuse() throws {
    struct Refused: Error {}
    let layout = try ArtifactSamples.layout("gguf", large: true)
    let seen = Locked<[String: [UInt8]]>([:])
    func pack(_ conclude: @escaping @Sendable () throws -> Void) throws {
      let look = ArtifactFile.Inspection { tensor, bytes, range in
        let part = withExtendedLifetime(bytes) { Array(bytes.buffer[range]) }
        seen.withLock { seen in
          var whole = seen[tensor.name] ?? [UInt8](repeating: 0, count: bytes.count)
          for (place, byte) in zip(range, part) { whole[place] &+= byte }
          seen[tensor.name] = whole
        }
      } conclude: {
        try conclude()
      }
      try ArtifactFile.write(layout, to: folder.file("model.zst"), inspection: look, toolVersion: "test")
    }
    #expect(throws: Refused.self) { try pack { throw Refused() } }
    #expect(folder.contents.isEmpty)
    seen.withLock { $0 = [:] }
    try pack {}
    let found = seen.withLock { $0 }
    for placement in layout.tensors where placement.tensor.bytes.count > 0 {
      #expect(try found[placement.tensor.name] == ArtifactSamples.contents(placement.tensor))
    }
  }

  @Test func failingTensorsLeaveNothing() throws {
    struct Broken: Error {}
    var layout = try ArtifactSamples.layout("gguf", large: true)
    layout.tensors[3].tensor.bytes = TensorBytes(count: 4) { throw Broken() }
    #expect(throws: Broken.self) { try ArtifactSamples.pack(layout, to: folder.file("model.zst")) }
    layout.tensors[3].tensor.bytes = TensorBytes(count: 4) { ByteRegion([1, 2, 3]) }
    #expect(throws: ModelFileError.self) { try ArtifactSamples.pack(layout, to: folder.file("model.zst")) }
    #expect(folder.contents.isEmpty)
  }

  @Test func openedByContentWithItsCompanions() throws {
    try AtomicFile.write("{\"model_type\": \"llama\"}", to: folder.file("config.json"))
    for container in ["gguf", "safetensors"] {
      let path = folder.file("no-extension-\(container)")
      try ArtifactSamples.pack(try ArtifactSamples.layout(container), to: path)
      let source = try ModelFiles.open(path)
      #expect(source.container.rawValue == container && source.manifest != nil && source.tensors.count == 4)
      #expect((source.configuration?["model_type"] == .string("llama")) == (container == "safetensors"))
    }
  }

  /// What a reader of the format without our code finds: magic numbers, sizes, and the seek table's sums.
  @Test func layoutOfTheFile() throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout("gguf"), to: path)
    let bytes = try ArtifactSamples.bytes(path)
    func number(_ place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) } }
    #expect(number(0) == 0xFD2F_B528 && number(bytes.count - 4) == 0x8F92_EAB1)
    let count = number(bytes.count - 9)
    #expect(bytes[bytes.count - 5] == 0x80 && count == 5)  // header, three tensors with bytes, manifest
    let table = bytes.count - 17 - 12 * count
    #expect(number(table) == 0x184D_2A5E && number(table + 4) == 12 * count + 9)
    let sizes = (0..<count).map { number(table + 8 + 12 * $0) }
    #expect(sizes.reduce(0, +) == table)
    let manifest = table - sizes[count - 1]
    #expect(number(manifest) == 0x184D_2A50 && number(manifest + 4) == sizes[count - 1] - 8)
    #expect(
      String(decoding: bytes[(manifest + 8)..<(manifest + 28)], as: UTF8.self) == "compress manifest 1\n")
    let text = String(decoding: bytes[(manifest + 93)..<table], as: UTF8.self)
    #expect(try JSONValue(parsing: text)["tensors"]?.arrayValue?.count == 4)
    #expect(number(table + 8 + 12 * (count - 1) + 4) == 0)
  }
}

/// What the `zstd` program prints for `arguments`, or nil when there is none or it fails.
func zstd(_ arguments: String...) throws -> [UInt8]? {
  let places = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/zstd" }
  guard let program = places.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
    return nil
  }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = arguments
  let output = Pipe()
  process.standardOutput = output
  try process.run()
  let data = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return process.terminationStatus == 0 ? [UInt8](data) : []
}
