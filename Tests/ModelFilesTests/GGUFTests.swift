import ModelFiles
import TensorCore
import TestSupport
import Testing

@Suite struct GGUFTests {
  static func index(_ bytes: [UInt8]) throws -> ContainerIndex {
    try bytes.withUnsafeBytes { try GGUFFile.index(of: $0, fileSize: bytes.count, path: "test") }
  }

  /// What make_gguf.py puts into types.gguf, in order.
  static let entries: [GGUFEntry] = [
    .init("general.architecture", .string("llama")), .init("test.uint8", .uint8(200)),
    .init("test.int8", .int8(-100)),
    .init("test.uint16", .uint16(60000)), .init("test.int16", .int16(-30000)),
    .init("test.uint32", .uint32(4_000_000_000)), .init("test.int32", .int32(-2_000_000_000)),
    .init("test.float32", .float32(1.5e-5)), .init("test.bool.true", .bool(true)),
    .init("test.bool.false", .bool(false)),
    .init("test.string", .string("héllo\n")), .init("test.uint64", .uint64(1 << 63)),
    .init("test.int64", .int64(-(1 << 62))), .init("test.float64", .float64(3.141592653589793)),
    .init("test.strings", .strings(["<s>", "", "▁a", "é"])),
    .init("test.float32s", .float32s([0, -1.5, 1e30])),
    .init("test.int32s", .int32s([1, -2, 3])),
    .init("test.uint8s", .array([.uint8(1), .uint8(2), .uint8(255)], elementType: 0)),
    .init("test.bools", .array([.bool(true), .bool(false)], elementType: 7)),
    .init("test.uint64s", .array([.uint64(1 << 40), .uint64(7)], elementType: 10)),
    .init("test.nested", .array([.int32s([1, 2]), .int32s([3])], elementType: 9)),
  ]
  static let tensors: [StoredTensor] =
    [.f32, .f16].map { tensor("\($0)", [3, 5], $0) }
    + [.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl].map { tensor("\($0)", [3, 64], $0) }
    + [.i8, .i16, .i32, .i64, .f64, .bf16].map { tensor("\($0)", [3, 5], $0) }
    + [.q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_xs].map { tensor("\($0)", [2, 256], $0) }
    + [tensor("four.dimensions", [2, 1, 3, 4]), tensor("vector", [7])]

  @Test func readsEveryTypeThatThePackageWrites() throws {
    let source = try GGUFFile.read(MappedFile(path: fixture("types.gguf")))
    #expect(source.container == .gguf && source.notes.isEmpty)
    #expect(source.metadata == GGUFTests.entries)
    #expect(source.tensors.map(\.name) == GGUFTests.tensors.map(\.name))
    for (read, made) in zip(source.tensors, GGUFTests.tensors) {
      #expect(read.shape == made.shape && read.format == made.format)
      #expect(try read.contents() == made.contents(), "\(read.name)")
    }
  }

  @Test func writesWhatThePackageWrites() throws {
    let layout = try GGUFWriter.layout(metadata: GGUFTests.entries, tensors: GGUFTests.tensors)
    let bytes = try written(layout)
    #expect(try bytes == readBytes(fixture("types.gguf")))
    #expect(bytes.count == layout.size && layout.container == "gguf" && layout.notes.isEmpty)
    for placement in layout.tensors {
      let range = placement.offset..<placement.offset + placement.tensor.bytes.count
      #expect(try Array(bytes[range]) == placement.tensor.contents())
      #expect(placement.offset % 32 == 0 && (range.upperBound + placement.paddingAfter) % 32 == 0)
    }
  }

  @Test func writesTheAlignmentThatMetadataAsks() throws {
    let path = fixture("aligned.gguf")
    let source = try GGUFFile.read(MappedFile(path: path))
    #expect(source.tensors.map(\.name) == ["a", "b"])
    let layout = try GGUFWriter.layout(metadata: source.metadata, tensors: source.tensors)
    #expect(try written(layout) == readBytes(path))
    #expect(layout.tensors.allSatisfy { $0.offset % 64 == 0 })
  }

  @Test func readsVersion2() throws {
    var bytes = try readBytes(fixture("types.gguf"))
    bytes[4] = 2
    #expect(try GGUFTests.index(bytes).metadata == GGUFTests.entries)
  }

  @Test func toleratesMissingPaddingAtTheEnd() throws {
    let layout = try GGUFWriter.layout(metadata: [], tensors: [tensor("a", [32]), tensor("b", [1])])
    let bytes = try written(layout)
    #expect(try GGUFTests.index(bytes.dropLast(28)).tensors.count == 2)
    #expect(modelError { _ = try GGUFTests.index(bytes.dropLast(29)) }?.reason == .truncated)
  }

  @Test func keepsStringsThatAreNoUTF8() throws {
    let entries: [GGUFEntry] = [
      .init("a", .bytes([0xFF, 0x41])), .init("b", .array([.string("x"), .bytes([0xC3])], elementType: 8)),
    ]
    let bytes = try written(GGUFWriter.layout(metadata: entries, tensors: []))
    #expect(try GGUFTests.index(bytes).metadata == entries)
    #expect(entries["b"]?.stringsValue == ["x", "\u{FFFD}"])
  }

  @Test func joinsSplitFilesFromAnyPart() throws {
    for part in 1...3 {
      let source = try GGUFFile.read(MappedFile(path: fixture("split-0000\(part)-of-00003.gguf")))
      #expect(source.tensors.map(\.name) == (0..<5).map { "blk.\($0).weight" })
      #expect(source.files.count == 3)
      #expect(source.metadata.map(\.key) == ["general.architecture", "llama.block_count"])
      for (number, tensor) in source.tensors.enumerated() {
        #expect(tensor.shape == [2, number + 1])
        #expect(try tensor.contents() == pattern(8 * (number + 1)))
      }
    }
  }

  @Test func namesTheMissingPart() throws {
    let folder = try ScratchFolder()
    let parts = try (1...3).map { try readBytes(fixture("split-0000\($0)-of-00003.gguf")) }
    let first = try folder.write("m-00001-of-00003.gguf", parts[0])
    try folder.write("m-00002-of-00003.gguf", parts[1])
    let missing = modelError { _ = try ModelFiles.open(first) }
    #expect(missing?.reason == .missing && missing?.path.hasSuffix("m-00003-of-00003.gguf") == true)
    let third = try folder.write("m-00003-of-00003.gguf", parts[2])
    #expect(try ModelFiles.open(folder.path).tensors.count == 5)
    try folder.write("m-00003-of-00003.gguf", parts[1])
    let wrong = modelError { _ = try ModelFiles.open(first) }
    #expect(wrong?.reason == .badStructure && wrong?.path == third)
    let renamed = modelError { _ = try ModelFiles.open(try folder.write("other.gguf", parts[0])) }
    #expect(renamed?.reason == .missing && renamed?.message.contains("part 1 of 3") == true)
  }

  @Test func writerRefusesWhatItCannotStore() throws {
    let cases: [(metadata: [GGUFEntry], tensors: [StoredTensor], reason: ModelFileError.Reason)] = [
      ([], [tensor("a", [2], .f8_e4m3)], .unsupported), ([], [tensor("a", [1, 1, 1, 1, 1])], .unsupported),
      ([], [tensor("a", [1]), tensor("a", [1])], .duplicate),
      ([.init("k", .bool(true)), .init("k", .bool(true))], [], .duplicate),
      ([.init("", .bool(true))], [], .badStructure),
      ([.init("k", .array([.uint8(1), .int8(1)], elementType: 0))], [], .badStructure),
      ([.init("k", .array([], elementType: 99))], [], .badStructure),
      ([.init("general.alignment", .uint32(48))], [], .badStructure),
      ([.init("general.alignment", .uint32(4))], [], .badStructure),
      ([.init("general.alignment", .int32(32))], [], .badStructure),
    ]
    for (metadata, tensors, reason) in cases {
      #expect(
        modelError { _ = try GGUFWriter.layout(metadata: metadata, tensors: tensors) }?.reason == reason)
    }
    let long = String(repeating: "n", count: 64)
    #expect(try GGUFWriter.layout(metadata: [], tensors: [tensor(long, [1])]).notes.count == 1)
  }

  @Test(.enabled(if: SharedData.isPresent))
  func readsRealModels() throws {
    for (name, tensors, elements) in [
      ("models/stories260K/stories260K.gguf", 48, 292_800),
      ("models/books-7m/books-7m-f32.gguf", 74, 7_344_384),
    ] {
      let path = SharedData.path(name)
      let source = try ModelFiles.open(path)
      #expect(source.tensors.count == tensors)
      #expect(source.tensors.reduce(0) { $0 + $1.elementCount } == elements)
      let layout = try GGUFWriter.layout(metadata: source.metadata, tensors: source.tensors)
      #expect(try written(layout) == readBytes(path))
    }
  }
}
