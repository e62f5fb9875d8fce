import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// Pruned matrices as masks and values: in this program's layout, and as the compressed-tensors package has them.
@Suite struct SparsePackedTests {
  static let formats: [TensorFormat] = [
    .f32, .f16, .bf16, .int8_channel, .w8a8, .int4_g32, .int4_g64, .int4_g128,
  ]

  /// A random matrix with about `share` of its weights zero, and the bound that its pass would give.
  static func pruned(_ format: TensorFormat, rows: Int, columns: Int, share: Double = 0.6) throws
    -> StoredTensor
  {
    var generator = SeededGenerator(seed: 3)
    let elements = (0..<rows * columns).map { place -> Float in
      let value = Float(generator.uniform() - 0.5)
      return generator.uniform() < share || place / columns == 1 ? 0 : value
    }
    let bytes = try TensorCoding.encode(
      Matrix(rows: rows, columns: columns, elements: elements), format: format)
    var tensor = StoredTensor(
      name: "a.weight", shape: [rows, columns], format: format, bytes: TensorBytes(bytes))
    tensor.keptLimit = elements.count { $0 != 0 }
    return tensor
  }

  static func blob(_ tensor: StoredTensor) throws -> StoredTensor {
    try #require(try PackedTests.parts(tensor, .own)["weight_sparse"])
  }

  /// The matrix that a file with this blob has.
  static func read(_ blob: StoredTensor, version: Int = 2) throws -> StoredTensor {
    var source = try PackedTests.stored(PackedTests.quantized(.int8_channel), .own)
    source.path = "folder"
    let settings = try #require(source.configuration).text().replacing(
      "\"version\":1", with: "\"version\":\(version)")
    source.configuration = try Array(settings.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
    source.architectureless()
    source.tensors = [blob]
    return try #require(try Checkpoint.load(source).tensors.first)
  }

  @Test(arguments: formats)
  func matricesComeBackByteForByte(_ format: TensorFormat) throws {
    let columns = format.isFloat || format.rowHeaderBytes > 0 ? 131 : 256
    let tensor = try Self.pruned(format, rows: 9, columns: columns)
    let back = try Self.read(Self.blob(tensor))
    #expect(back.format == format && back.shape == tensor.shape)
    #expect(back.keptLimit == tensor.keptLimit)
    #expect(try PackedTests.bytes(back) == PackedTests.bytes(tensor))
  }

  @Test(arguments: [TensorFormat.f32, .f16, .bf16])
  func denseMatricesBesideThemLieInPlanes(_ format: TensorFormat) throws {
    var dense = try Self.pruned(format, rows: 5, columns: 21, share: 0.3)
    (dense.name, dense.keptLimit) = ("b.weight", nil)
    let sparse = try Self.pruned(.int8_channel, rows: 9, columns: 40)
    func names(_ tensors: [StoredTensor]) throws -> [StoredTensor] {
      var checkpoint = try TinyModel.checkpoint("llama-tied")
      checkpoint.architecture = nil
      checkpoint.tensors = tensors
      return try checkpoint.safetensorsContents(layout: .own).tensors
    }
    let blob = try #require(try names([sparse, dense]).first { $0.name == "b.weight_sparse" })
    let back = try Self.read(blob)
    #expect(back.keptLimit == nil && back.format == format)
    #expect(try PackedTests.bytes(back) == PackedTests.bytes(dense))
    #expect(try SparseEntropy(blob: blob) == nil)
    // Alone it stays what it is.
    var other = sparse
    other.keptLimit = nil
    #expect(try names([other, dense]).contains { $0.name == "b.weight" })
  }

  @Test func theBytesAreThoseOfTheFormat() throws {
    // Two rows of ten: 1, 0 …, −2 at the end; nothing but 0.5 in its ninth column.
    var elements = [Float](repeating: 0, count: 20)
    (elements[0], elements[9], elements[18]) = (1, -2, 0.5)
    let bytes = try TensorCoding.encode(Matrix(rows: 2, columns: 10, elements: elements), format: .bf16)
    var tensor = StoredTensor(name: "a.weight", shape: [2, 10], format: .bf16, bytes: TensorBytes(bytes))
    tensor.keptLimit = 4
    let blob = try Self.blob(tensor)
    #expect(
      try PackedTests.bytes(blob) == [
        2, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
        0x62, 0x66, 0x31, 0x36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // "bf16"
        0b0000_0001, 0b10, 0, 0b1,
        0x80, 0x00, 0x00, 0, 0x3f, 0xc0, 0x3f, 0,
      ])
    guard case .codes(let cuts) = blob.stream else {
      Issue.record("no stream of codes")
      return
    }
    #expect([UInt8]().withUnsafeBytes { cuts($0) } == [32, 36, 36, 36, 40])
  }

  @Test func denseMatricesStayAsTheyAre() throws {
    var tensor = try Self.pruned(.int8_channel, rows: 4, columns: 64)
    tensor.keptLimit = nil
    #expect(try PackedTests.parts(tensor, .own)["weight_sparse"] == nil)
    tensor.keptLimit = 250
    #expect(try PackedTests.parts(tensor, .own)["weight_sparse"] == nil)
    tensor.keptLimit = 128
    #expect(try PackedTests.parts(tensor, .compressedTensors)["weight_sparse"] == nil)
  }

  /// A pass that promised fewer weights than there are is found out when the file is written.
  @Test func moreWeightsThanRoom() throws {
    var tensor = try Self.pruned(.f32, rows: 4, columns: 64)
    tensor.keptLimit = 3
    let blob = try Self.blob(tensor)
    #expect(throws: ModelError.self) { try blob.bytes.load() }
  }

  @Test func blobsThatLie() throws {
    func failure(_ format: TensorFormat = .f16, _ change: (inout [UInt8]) -> Void) throws -> String {
      var blob = try Self.blob(Self.pruned(format, rows: 3, columns: format == .f16 ? 21 : 32))
      var bytes = try PackedTests.bytes(blob)
      change(&bytes)
      blob.shape = [bytes.count]
      blob.bytes = PackedErrorTests.region(bytes)
      do {
        _ = try Self.read(blob).bytes.load()
        return "nothing"
      } catch { return "\(error)" }
    }
    #expect(try failure { _ in } == "nothing")
    #expect(try failure { $0.removeLast() }.contains("do not fit the sizes and the format it states"))
    #expect(try failure { $0.removeLast($0.count - 9) }.contains("holds no sparse matrix"))
    for place in [0, 3, 4, 7, 8, 15, 16, 20, 31] {
      #expect(
        try failure { $0[place] = 255 }.contains("do not fit the sizes and the format it states"), "\(place)")
    }
    #expect(try failure { $0[32] = 255 }.contains("weights are not zero, but there is room for"))
    #expect(
      try failure { bytes in
        (bytes[32], bytes[33]) = (0, 0)
        bytes[34] |= 128
      }.contains("the mask of row 0 goes on behind its end"))
    #expect(try failure(.int4_g32) { $0[32 + 12 + 3] = 0x7c }.contains("scale 0 is NaN or infinite"))
    #expect(try failure(.int4_g32) { $0[32 + 12 + 6] = 9 }.contains("code 9 is no 4-bit code"))
    let blob = try Self.blob(Self.pruned(.f16, rows: 3, columns: 21))
    #expect(throws: ModelError.self) { try Self.read(blob, version: 3) }
  }

  // MARK: Entropy

  @Test func theEntropyIsThatOfTheDefinition() throws {
    let tensor = try Self.pruned(.int8_channel, rows: 64, columns: 96)
    let entropy = try #require(try SparseEntropy(blob: Self.blob(tensor)))
    let stored = try PackedTests.bytes(tensor)
    let codes = stored.enumerated().filter { $0.offset % 98 >= 2 }.map(\.element)
    let kept = codes.filter { $0 != 0 }
    #expect(entropy.weights == 64 * 96 && entropy.kept == kept.count)
    func bits<Key: Hashable>(_ values: [Key]) -> Double {
      let counts = Dictionary(values.map { ($0, 1.0) }, uniquingKeysWith: +)
      return counts.values.reduce(0) { $0 - $1 * log2($1 / Double(values.count)) }
    }
    let scales = (0..<2).map { byte in bits((0..<64).map { stored[$0 * 98 + byte] }) }
    #expect(abs(entropy.valueBytes * 8 - bits(kept) - scales[0] - scales[1]) < 1e-6)
    // Nothing about a random mask is known but its share; of 2 of 4 neighbours there are six patterns.
    #expect(entropy.maskBytes * 8 <= bits(codes.map { $0 == 0 }) + 1e-6)
    let regular = StoredTensor(
      name: "a.weight", shape: [64, 128], format: .f32,
      bytes: TensorBytes(
        try TensorCoding.encode(
          Matrix(rows: 64, columns: 128, elements: (0..<64 * 128).map { $0 % 4 < 2 ? 1 : 0 }), format: .f32)))
    var halved = regular
    halved.keptLimit = 64 * 64
    #expect(try SparseEntropy(blob: Self.blob(halved))?.bytes == 0)
    #expect(try SparseEntropy(blob: regular) == nil)
  }

  // MARK: compressed-tensors

  @Test(arguments: ["bf16", "i8"])
  func bitmasksAreThoseOfThePackage(_ kind: String) throws {
    let file = try SafetensorsFile.read(MappedFile(path: fixture("packed/sparse-bitmask.safetensors")))
    func tensor(_ name: String) throws -> StoredTensor {
      try #require(file.tensors.first { $0.name == name })
    }
    let dense = try PackedTests.bytes(tensor("dense.\(kind)"))
    var checkpoint = try TinyModel.checkpoint("llama-tied")
    checkpoint.architecture = nil
    var own = StoredTensor(
      name: "\(kind).weight", shape: [6, 21], format: .bf16, bytes: PackedErrorTests.region(dense))
    if kind == "i8" {
      own.format = .int8_channel
      own.bytes = PackedErrorTests.region((0..<6).flatMap { [0, 0x3c] + dense[$0 * 21..<($0 + 1) * 21] })
    }
    own.keptLimit = 60
    checkpoint.tensors = [own]
    let contents = try checkpoint.sparseBitmaskContents()
    for part in ["shape", "compressed", "bitmask", "row_offsets"] {
      let (mine, theirs) = (
        try #require(contents.tensors.first { $0.name == "\(kind).\(part)" }), try tensor("\(kind).\(part)")
      )
      #expect(mine.format == theirs.format && mine.shape == theirs.shape, "\(part)")
      #expect(try PackedTests.bytes(mine) == PackedTests.bytes(theirs), "\(part)")
    }
    // And back.
    var source = file
    source.path = "folder"
    source.tensors = contents.tensors
    let text = try #require(contents.configuration)
    source.configuration = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
    source.architectureless()
    let back = try #require(try Checkpoint.load(source).tensors.first { $0.name == "\(kind).weight" })
    #expect(back.format == own.format)
    #expect(try PackedTests.bytes(back) == PackedTests.bytes(own))
  }

  @Test func bitmasksThatLie() throws {
    func failure(_ change: (inout [String: StoredTensor]) -> Void) throws -> String {
      var checkpoint = try TinyModel.checkpoint("llama-tied")
      checkpoint.architecture = nil
      checkpoint.tensors = [try Self.pruned(.bf16, rows: 4, columns: 21)]
      let contents = try checkpoint.sparseBitmaskContents()
      var parts = Dictionary(uniqueKeysWithValues: contents.tensors.map { ($0.name, $0) })
      change(&parts)
      var source = try SafetensorsFile.read(MappedFile(path: fixture("packed/sparse-bitmask.safetensors")))
      source.path = "folder"
      source.tensors = parts.values.sorted { $0.name < $1.name }
      let text = try #require(contents.configuration)
      source.configuration = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
      source.architectureless()
      do {
        for tensor in try Checkpoint.load(source).tensors { _ = try tensor.bytes.load() }
        return "nothing"
      } catch { return "\(error)" }
    }
    #expect(try failure { _ in } == "nothing")
    #expect(try failure { $0["a.bitmask"] = nil }.contains("'a.bitmask' is missing"))
    #expect(
      try failure { $0["a.shape"]?.bytes = PackedErrorTests.region([UInt8](repeating: 255, count: 16)) }
        .contains("which cannot be"))
    #expect(try failure { $0["a.bitmask"]?.shape = [3, 4] }.contains("'a.bitmask' is 3 × 4"))
    #expect(
      try failure { $0["a.bitmask"]?.bytes = PackedErrorTests.region([UInt8](repeating: 1, count: 12)) }
        .contains("'a.bitmask' marks 12 weights, but 'a.compressed' holds"))
  }
}

extension ModelSource {
  /// Of no known architecture, so that its tensors may be any.
  mutating func architectureless() {
    guard case .object(var object)? = configuration else { return }
    object["architectures"] = nil
    object["model_type"] = .string("unknown")
    configuration = .object(object)
  }
}
