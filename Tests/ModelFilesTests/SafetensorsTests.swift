import ModelFiles
import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  /// A file of a header and `data` zero bytes.
  static func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    let length = length ?? UInt64(header.utf8.count)
    return withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array(header.utf8)
      + [UInt8](repeating: 0, count: data)
  }

  static func index(_ bytes: [UInt8]) throws -> ContainerIndex {
    try bytes.withUnsafeBytes { try SafetensorsFile.index(of: $0, fileSize: bytes.count, path: "test") }
  }

  @Test func readsEveryTypeThatThePackageWrites() throws {
    let source = try SafetensorsFile.read(MappedFile(path: fixture("types.safetensors")))
    #expect(source.container == .safetensors)
    #expect(source.textMetadata == ["format": "pt"])
    #expect(source.tensors.count == 18)
    for tensor in source.tensors {
      let expected: (shape: [Int], format: TensorFormat) =
        switch tensor.name {
        case "bool": ([5], .bool)
        case "scalar": ([], .f32)
        case "empty": ([0, 3], .f32)
        case "layer.0.\"quoted\" é": ([1, 1, 2, 3], .f16)
        default: ([2, 3], try #require(TensorFormat(rawValue: tensor.name)))
        }
      #expect(tensor.shape == expected.shape && tensor.format == expected.format)
      let bytes = try tensor.contents()
      #expect(bytes == (tensor.name == "bool" ? [0, 1, 0, 1, 0] : pattern(bytes.count)))
      #expect(bytes.count == tensor.bytes.count)
    }
  }

  @Test func writesWhatThePackageWrites() throws {
    let path = fixture("types.safetensors")
    let source = try SafetensorsFile.read(MappedFile(path: path))
    let layout = try SafetensorsWriter.layout(
      tensors: source.tensors.reversed(), metadata: source.textMetadata)
    #expect(try written(layout) == readBytes(path))
    #expect(layout.size == (try readBytes(path).count))
    #expect(layout.container == "safetensors")
  }

  @Test func layoutSaysWhereTensorsAre() throws {
    let layout = try SafetensorsWriter.layout(tensors: [
      tensor("b", [2], .i8), tensor("a", [3], .f32), tensor("c", []),
    ])
    let bytes = try written(layout)
    #expect(bytes.count == layout.size)
    #expect(layout.prefix.count % 8 == 0)
    #expect(layout.tensors.map(\.tensor.name) == ["a", "c", "b"])
    for placement in layout.tensors {
      let range = placement.offset..<placement.offset + placement.tensor.bytes.count
      #expect(try Array(bytes[range]) == placement.tensor.contents())
    }
    #expect(try SafetensorsTests.index(bytes).tensors.map(\.range.lowerBound) == layout.tensors.map(\.offset))
  }

  @Test func acceptsAnEmptyModel() throws {
    #expect(try SafetensorsTests.index(SafetensorsTests.file("{}")).tensors.isEmpty)
    #expect(try written(SafetensorsWriter.layout(tensors: [])) == SafetensorsTests.file("{}      "))
  }

  @Test func copiesTensorsThatLieAtOddAddresses() throws {
    let folder = try ScratchFolder()
    let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"# + " "
    #expect(header.utf8.count % 4 != 0)
    let path = try folder.write("odd.safetensors", SafetensorsTests.file(header) + pattern(8))
    let bytes = try SafetensorsFile.read(MappedFile(path: path)).tensors[0].bytes.load()
    #expect(UInt(bitPattern: bytes.base) % 4 == 0)
    #expect(copy(bytes) == pattern(8))
  }

  @Test(arguments: [
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7, ModelFileError.Reason.truncated,
      "ends at byte 8"
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, .badStructure, "the tensors end"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#, 9, .badStructure, "leaves a hole"),
    (
      #"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}}"#,
      3, .badStructure, "overlaps"
    ),
    (
      #"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[3,5]}}"#,
      5, .badStructure, "leaves a hole"
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, .badStructure, "rising data_offsets"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8, .badStructure, "rising data_offsets"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#, 8, .badStructure, "rising data_offsets"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0.0,8.0]}}"#, 8, .badStructure, "rising data_offsets"),
    (#"{"a":{"dtype":"F32","shape":[2]}}"#, 8, .badStructure, "rising data_offsets"),
    (
      #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, .badStructure,
      "12 bytes, but its data_offsets span 8"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0, .badStructure,
      "overflows"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}"#, 0, .badStructure,
      "overflows"
    ),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}"#, 0, .badStructure, "no shape"),
    (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}}"#, 0, .badStructure, "no shape"),
    (#"{"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}}"#, 8, .badStructure, "no shape"),
    (
      #"{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}"#, 8, .unsupported,
      "'a' has an unknown dtype 'X9'"
    ),
    (
      #"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#, 1, .unsupported, "the unsupported dtype 'F4'"
    ),
    (#"{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}"#, 8, .badStructure, "no dtype"),
    (#"{"a":[]}"#, 0, .badStructure, "no dtype"),
    (
      #"{"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}"#,
      0, .duplicate, "repeated"
    ),
    (
      "{\"e\u{301}\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]},\"é\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
      0, .duplicate, "appears twice"
    ),
    (#"{"__metadata__":{"a":1}}"#, 0, .badStructure, "something other than a string at 'a'"),
    (#"{"__metadata__":[]}"#, 0, .badStructure, "no JSON object"),
    (#"["a"]"#, 0, .badStructure, "does not start with '{'"),
    (#" {}"#, 0, .badStructure, "does not start with '{'"),
    (#"{"a":"#, 0, .badStructure, "ends early"),
    ("", 0, .badStructure, "does not start with '{'"),
  ])
  func refuses(header: String, data: Int, reason: ModelFileError.Reason, text: String) {
    let error = modelError { _ = try SafetensorsTests.index(SafetensorsTests.file(header, data: data)) }
    #expect(error?.reason == reason)
    #expect(error?.message.contains(text) == true, "\(error?.description ?? "")")
  }

  @Test func refusesHeadersOfImpossibleLength() {
    for (length, reason) in [
      (UInt64(3), ModelFileError.Reason.truncated), (100_000_000, .truncated), (100_000_001, .badStructure),
      (.max, .badStructure), (1 << 63, .badStructure),
    ] {
      #expect(
        modelError { _ = try SafetensorsTests.index(SafetensorsTests.file("{}", length: length)) }?.reason
          == reason)
    }
    for count in 0..<8 {
      #expect(
        modelError { _ = try SafetensorsTests.index([UInt8](repeating: 0, count: count)) }?.reason
          == .truncated)
    }
  }

  @Test func writerRefusesWhatItCannotStore() {
    #expect(
      modelError { _ = try SafetensorsWriter.layout(tensors: [tensor("q", [32], .q8_0)]) }?.reason
        == .unsupported)
    #expect(
      modelError { _ = try SafetensorsWriter.layout(tensors: [tensor("a", [1]), tensor("a", [2])]) }?.reason
        == .duplicate)
    #expect(
      modelError { _ = try SafetensorsWriter.layout(tensors: [tensor("__metadata__", [1])]) }?.reason
        == .duplicate)
    var wrong = tensor("a", [2])
    wrong.shape = [3]
    #expect(modelError { _ = try SafetensorsWriter.layout(tensors: [wrong]) }?.reason == .badStructure)
  }

  @Test func aTensorThatGivesTooFewBytesIsAnError() throws {
    let short = StoredTensor(
      name: "a", shape: [2], format: .f32, bytes: TensorBytes(count: 8) { ByteRegion(pattern(4)) })
    let layout = try SafetensorsWriter.layout(tensors: [short])
    #expect(modelError { _ = try written(layout) }?.reason == .badStructure)
  }

  @Test func truncatedOrDamagedFilesAreRefusedOrValid() throws {
    let whole = try readBytes(fixture("types.safetensors"))
    for length in 0..<whole.count {
      #expect(throws: ModelFileError.self) { try SafetensorsTests.index(Array(whole[..<length])) }
    }
    for place in whole.indices {
      for mask in [0x01, 0x20, 0x80, 0xFF] as [UInt8] {
        var damaged = whole
        damaged[place] ^= mask
        checkIndex(of: damaged) { try SafetensorsTests.index($0) }
      }
    }
  }

  @Test(
    .enabled(if: SharedData.isPresent),
    arguments: [
      ("models/books-7m/model.safetensors", 7_344_384), ("models/minilm-l6-v2/model.safetensors", 22_713_728),
      ("models/stories260K/derived-hf/model.safetensors", 260_032),
    ])
  func readsRealModels(name: String, elements: Int) throws {
    let source = try SafetensorsFile.read(MappedFile(path: SharedData.path(name)))
    #expect(source.tensors.reduce(0) { $0 + $1.elementCount } == elements)
    let layout = try SafetensorsWriter.layout(tensors: source.tensors, metadata: source.textMetadata)
    #expect(
      try SafetensorsTests.index(written(layout)).tensors.map(\.name) == layout.tensors.map(\.tensor.name))
  }
}

/// Checks that `parse` throws a ``ModelFileError``, or gives tensors that lie inside `bytes` and fit their shapes.
func checkIndex(of bytes: [UInt8], _ parse: ([UInt8]) throws -> ContainerIndex) {
  do {
    let index = try parse(bytes)
    #expect(
      index.tensors.allSatisfy {
        $0.range.upperBound <= bytes.count
          && StoredTensor.byteCount(shape: $0.shape, format: $0.format) == $0.range.count
      })
  } catch {
    #expect(error is ModelFileError)
  }
}
