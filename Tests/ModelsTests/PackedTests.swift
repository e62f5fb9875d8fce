import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// Quantized matrices in safetensors: written, read back, and compared with the layouts' definitions.
@Suite struct PackedTests {
  /// A tiny model with its linear layers in `format`, or in what fits rows that do not divide.
  static func quantized(_ format: TensorFormat, of name: String = "llama-tied") throws -> Checkpoint {
    var checkpoint = try TinyModel.checkpoint(name)
    checkpoint.tensors = try checkpoint.tensors.map { tensor in
      guard checkpoint.role(of: tensor).isLinear else { return tensor }
      var result = tensor
      result.format = FormatPlan.fallback(for: format, rowLength: tensor.rowLength).format
      let bytes = try TensorCoding.reencode(
        try tensor.bytes.load(), from: tensor.format, to: result.format, rows: tensor.rowCount,
        columns: tensor.rowLength)
      result.bytes = TensorBytes(bytes)
      return result
    }
    return checkpoint
  }

  /// The source that a folder with this checkpoint is.
  static func stored(_ checkpoint: Checkpoint, _ layout: PackedLayout?) throws -> ModelSource {
    let contents = try checkpoint.safetensorsContents(layout: layout)
    var sink = MemorySink()
    try SafetensorsWriter.layout(tensors: contents.tensors, metadata: contents.metadata).write(to: &sink)
    let path = temporaryPath("safetensors")
    defer { try? FileManager.default.removeItem(atPath: path) }
    try writeFile(sink.bytes, to: path)
    var source = try SafetensorsFile.read(MappedFile(path: path))
    let text = try #require(contents.configuration)
    source.configuration = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
    return source
  }

  static func bytes(_ tensor: StoredTensor) throws -> [UInt8] { try tensor.bytes.load().array }

  @Test(arguments: [
    (TensorFormat.int4_g32, PackedLayout?.none), (.int8_channel, nil), (.uniform8, nil), (.uniform16, nil),
    (.int8_channel, .gptq), (.int8_channel, .own), (.int4_g32, .own), (.w8a8, nil),
  ])
  func tensorsComeBackByteForByte(format: TensorFormat, layout: PackedLayout?) throws {
    let checkpoint = try Self.quantized(format)
    let back = try Checkpoint.load(Self.stored(checkpoint, layout))
    #expect(back.tensors.count == checkpoint.tensors.count)
    for (found, expected) in zip(back.tensors, checkpoint.tensors) {
      #expect(found.name == expected.name)
      #expect(found.format == expected.format)
      #expect(found.shape == expected.shape)
      #expect(try Self.bytes(found) == Self.bytes(expected), "\(found.name)")
    }
    #expect(back.configuration["quantization_config"] == nil)
    #expect(back.isTied)
  }

  /// 4-bit GPTQ needs one group for all rows: a model whose rows all divide by 32.
  @Test func gptqInFourBitsComesBack() throws {
    let tensor = try Self.matrix(.int4_g64, rows: 24, columns: 192)
    let parts = try Self.parts(tensor, .gptq)
    // The definition: word (k, r) has columns 8k … 8k + 7 of row r, x = scale · (code − (zero + 1)).
    let words = try Self.integers(parts["qweight"])
    let zeros = try Self.integers(parts["qzeros"])
    let scales = try #require(parts["scales"]).values()
    let order = try Self.integers(parts["g_idx"])
    #expect(parts["qweight"]?.shape == [24, 24])
    #expect(parts["qzeros"]?.shape == [3, 3])
    #expect(parts["scales"]?.shape == [3, 24])
    let decoded = try tensor.values()
    for row in 0..<24 {
      for column in 0..<192 {
        let group = Int(order[column])
        #expect(group == column / 64)
        let code = Self.bits(4, at: column % 8, of: words[column / 8 * 24 + row])
        let zero = Self.bits(4, at: row % 8, of: zeros[group * 3 + row / 8]) + 1
        let expected: Float = scales[group * 24 + row] * Float(code - zero)
        #expect(decoded[row * 192 + column] == expected)
      }
    }
  }

  @Test(arguments: [(TensorFormat.int4_g32, 4), (.int8_channel, 8)])
  func compressedTensorsPartsFollowTheDefinition(format: TensorFormat, bits: Int) throws {
    let (rows, columns) = (5, format == .int4_g32 ? 96 : 37)
    let tensor = try Self.matrix(format, rows: rows, columns: columns)
    let parts = try Self.parts(tensor, .compressedTensors)
    let perWord = 32 / bits
    let words = (columns + perWord - 1) / perWord
    #expect(parts["weight_packed"]?.shape == [rows, words])
    let packed = try Self.integers(parts["weight_packed"])
    let scales = try #require(parts["weight_scale"]).values()
    let groups = scales.count / rows
    #expect(
      try Self.bytes(#require(parts["weight_shape"])) == [
        5, 0, 0, 0, 0, 0, 0, 0, UInt8(columns), 0, 0, 0, 0, 0, 0, 0,
      ])
    let decoded = try tensor.values()
    for row in 0..<rows {
      for place in 0..<words * perWord {
        let code = Self.bits(bits, at: place % perWord, of: packed[row * words + place / perWord])
        guard place < columns else {
          #expect(code == 0)
          continue
        }
        let scale = scales[row * groups + place * groups / columns]
        let expected: Float = scale * Float(code - (bits == 4 ? 8 : 128))
        #expect(decoded[row * columns + place] == expected)
      }
    }
  }

  @Test func integersForRoundedActivationsFollowTheDefinition() throws {
    let (rows, columns) = (5, 37)
    let tensor = try Self.matrix(.w8a8, rows: rows, columns: columns)
    let parts = try Self.parts(tensor, .compressedTensors)
    #expect(Set(parts.keys) == ["weight", "weight_scale"])
    let weight = try #require(parts["weight"])
    #expect(weight.format == .i8 && weight.shape == [rows, columns])
    #expect(parts["weight_scale"]?.shape == [rows, 1])
    let scales = try #require(parts["weight_scale"]).values()
    let (codes, decoded) = (try Self.bytes(weight), try tensor.values())
    for place in 0..<rows * columns {
      #expect(decoded[place] == scales[place / columns] * Float(Int8(bitPattern: codes[place])))
    }
  }

  /// A model with some layers whose activations are rounded, and some of the same bytes without.
  @Test func schemesSideBySideComeBack() throws {
    var checkpoint = try Self.quantized(.w8a8)
    for place in checkpoint.tensors.indices where checkpoint.tensors[place].name.contains("down_proj") {
      checkpoint.tensors[place].format = .int8_channel
    }
    let source = try Self.stored(checkpoint, nil)
    #expect(source.configuration?["quantization_config"]?["format"]?.stringValue == "mixed-precision")
    let back = try Checkpoint.load(source)
    #expect(back.tensors.map(\.format) == checkpoint.tensors.map(\.format))
  }

  /// Columns lie by class, each class a stretch of its own in an artifact.
  @Test func uniformCodesFollowTheDefinition() throws {
    let (rows, columns) = (600, 48)
    var generator = SeededGenerator(seed: 8)
    // Every other column is wide: two classes pay.
    let codes = (0..<rows * columns).map { place -> Int16 in
      let sum = (0..<6).reduce(0.0) { total, _ in total + generator.uniform() - 0.5 }
      return Int16((sum * (place % columns % 2 == 0 ? 40 : 2)).rounded())
    }
    let scales = (0..<columns).map { Float($0 + 1) }
    let made = try UniformTensor(
      codes: codes, rowScales: [Float](repeating: 0.5, count: rows), columnScales: scales)
    let tensor = StoredTensor(
      name: "a.weight", shape: [rows, columns], format: made.format, bytes: TensorBytes(made.bytes))
    let blob = try Self.bytes(#require(try Self.parts(tensor, .own)["weight_uniform"]))
    #expect(blob[0..<8] == [88, 2, 0, 0, 48, 0, 0, 0])
    let classes = Array(blob[8..<8 + columns])
    #expect(classes.enumerated().allSatisfy { $1 == $0 % 2 })
    #expect(blob[56..<58] == [0x00, 0x38])
    let start = 8 + 3 * columns + 2 * rows
    let order = (0..<columns).sorted { (classes[$0], $0) < (classes[$1], $1) }
    for (place, column) in order.enumerated() {
      for row in 0..<rows {
        #expect(Int8(bitPattern: blob[start + place * rows + row]) == Int8(codes[row * columns + column]))
      }
    }
    guard case .codes(let cuts)? = try Self.parts(tensor, .own)["weight_uniform"]?.stream else {
      Issue.record("no stream of codes")
      return
    }
    #expect(blob.withUnsafeBytes { cuts($0) } == [start, start + 24 * rows, start + 48 * rows])
  }

  // MARK: Support

  /// A random matrix.
  static func matrix(_ format: TensorFormat, rows: Int, columns: Int) throws -> StoredTensor {
    var generator = SeededGenerator(seed: 12)
    let elements = (0..<rows * columns).map { _ in Float(generator.uniform() - 0.5) }
    let bytes = try TensorCoding.encode(
      Matrix(rows: rows, columns: columns, elements: elements), format: format)
    return StoredTensor(name: "a.weight", shape: [rows, columns], format: format, bytes: TensorBytes(bytes))
  }

  /// The parts of a single matrix, by the ends of their names.
  static func parts(_ tensor: StoredTensor, _ layout: PackedLayout) throws -> [String: StoredTensor] {
    var checkpoint = try TinyModel.checkpoint("llama-tied")
    checkpoint.architecture = nil
    var tensor = tensor
    tensor.name = "model.layers.0.self_attn.q_proj.weight"
    checkpoint.tensors = [tensor]
    let contents = try checkpoint.safetensorsContents(layout: layout)
    return Dictionary(
      uniqueKeysWithValues: contents.tensors.map { (String($0.name.split(separator: ".").last ?? ""), $0) })
  }

  /// Number `place` of those that fill a word from its lowest bits on.
  static func bits(_ bits: Int, at place: Int, of word: UInt32) -> Int {
    Int(word) >> (bits * place) & ((1 << bits) - 1)
  }

  static func integers(_ tensor: StoredTensor?) throws -> [UInt32] {
    let region = try #require(tensor).bytes.load()
    return (0..<region.count / 4).map { region.base.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) }
  }
}

/// What the compressed-tensors package stored, against what `transformers` computes with it.
@Suite struct ForeignPackedTests {
  static func source(_ name: String) throws -> ModelSource {
    let folder = fixture("packed/\(name)")
    var source = try SafetensorsFile.read(MappedFile(path: folder + "/model.safetensors"))
    source.path = folder
    source.configuration = try TinyModel.json(folder + "/config.json")
    return source
  }

  @Test(arguments: [
    ("int4-g32", TensorFormat.int4_g32), ("int4-channel", .int4_g64), ("int8-g32", .q8_0),
    ("int8-channel", .int8_channel), ("w8a8", .w8a8),
  ])
  func logitsAgreeWithTransformers(name: String, format: TensorFormat) throws {
    let checkpoint = try Checkpoint.load(Self.source(name))
    #expect(checkpoint.tensor("model.layers.0.self_attn.q_proj.weight")?.format == format)
    let reference = try Reference(fixture("packed/\(name)/reference.safetensors"))
    guard case .language(let model) = try checkpoint.makeModel(activations: .f32) else {
      Issue.record("no language model")
      return
    }
    let expected = Matrix(rows: 12, columns: 64, elements: Array(reference.values.elements[..<(12 * 64)]))
    let error = relativeError(logits(model, reference.ids[0]), expected)
    // transformers rounds the activations of w8a8, too, with max / 127.5 where vLLM and this program have max / 127.
    #expect(error < (format == .w8a8 ? 0.05 : 1e-3), "\(name): \(error)")
    // And in the integers that it ships with, nearly.
    let rough = relativeError(logits(try languageModel(checkpoint), reference.ids[0]), expected)
    #expect(rough < 0.05, "\(name): \(rough)")
  }

  /// Activations with one scale a token: the integers are those that floats rounded by the definition give.
  @Test func roundedActivationsAgreeWithTheDefinition() throws {
    let checkpoint = try Checkpoint.load(Self.source("w8a8"))
    let reference = try Reference(fixture("packed/w8a8/reference.safetensors"), values: "logits_token")
    let model = try languageModel(checkpoint)
    let found = reference.ids.flatMap { logits(model, $0).elements }
    let errors = (0..<24).map { row -> Float in
      let range = row * 64..<(row + 1) * 64
      return relativeError(
        Matrix(rows: 1, columns: 64, elements: Array(found[range])),
        Matrix(rows: 1, columns: 64, elements: Array(reference.values.elements[range])))
    }
    // One token has an activation so near to the middle of two codes that double precision rounds it the other way, too.
    #expect(errors.filter { $0 > 1e-5 }.count <= 1, "\(errors)")
    #expect(errors.allSatisfy { $0 < 0.03 }, "\(errors)")
  }

  /// The same tensors written again are the same parts.
  @Test func partsAreThoseOfThePackage() throws {
    let source = try Self.source("int4-g32")
    let contents = try Checkpoint.load(source).safetensorsContents()
    let originals = Dictionary(uniqueKeysWithValues: source.tensors.map { ($0.name, $0) })
    #expect(contents.tensors.count == source.tensors.count)
    for part in contents.tensors {
      let original = try #require(originals[part.name])
      #expect(part.shape == original.shape)
      if part.name.hasSuffix("weight_packed") || part.name.hasSuffix("weight_shape") {
        #expect(try PackedTests.bytes(part) == PackedTests.bytes(original))
      }
      if part.name.hasSuffix("weight_scale") { #expect(try part.values() == original.values()) }
    }
  }
}
