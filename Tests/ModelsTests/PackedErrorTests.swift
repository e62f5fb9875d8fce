import ModelFiles
import Models
import TensorCore
import Testing

/// Packed tensors that do not fit, each refused by one line.
@Suite struct PackedErrorTests {
  static let module = "model.layers.0.self_attn.q_proj"

  /// The error of loading, and of reading every tensor, after `change`.
  static func failure(
    _ format: TensorFormat = .int4_g32, _ layout: PackedLayout? = nil,
    _ change: (inout ModelSource) throws -> Void
  ) throws -> String {
    var source = try PackedTests.stored(PackedTests.quantized(format), layout)
    source.path = "folder"
    try change(&source)
    do {
      for tensor in try Checkpoint.load(source).tensors { _ = try tensor.bytes.load() }
      return "nothing"
    } catch { return "\(error)" }
  }

  static func part(_ ending: String, of source: inout ModelSource, _ change: (inout StoredTensor) -> Void) {
    for place in source.tensors.indices where source.tensors[place].name == "\(module).\(ending)" {
      change(&source.tensors[place])
    }
  }

  static func region(_ bytes: [UInt8]) -> TensorBytes { TensorBytes(ByteRegion(bytes)) }

  @Test(arguments: ["weight_scale", "weight_packed", "weight_shape"])
  func aMissingPart(_ ending: String) throws {
    let text = try Self.failure { $0.tensors.removeAll { $0.name == "\(Self.module).\(ending)" } }
    #expect(
      text.contains(
        ending == "weight_packed"
          ? "'\(Self.module).weight' is missing" : "'\(Self.module).\(ending)' is missing"))
  }

  @Test func wrongShapes() throws {
    let packed = try Self.failure { source in
      Self.part("weight_packed", of: &source) { $0.shape = [64, 2] }
    }
    #expect(
      packed == "folder: tensor '\(Self.module).weight_packed' is 64 × 2; its neighbours ask for 32 × 4")
    let scale = try Self.failure { source in
      Self.part("weight_scale", of: &source) { $0.shape = [1, 32] }
    }
    #expect(scale == "folder: tensor '\(Self.module).weight_scale' is 1 × 32; its neighbours ask for 32 × 1")
    let groups = try Self.failure { source in
      Self.part("weight_scale", of: &source) {
        $0.shape = [32, 5]
        $0.bytes = Self.region([UInt8](repeating: 0, count: 320))
      }
    }
    #expect(
      groups == "folder: tensor '\(Self.module).weight': 5 scales for rows of 32, which they do not divide")
    let words = try Self.failure { source in
      Self.part("weight_packed", of: &source) {
        $0.shape = [32, 3]
        $0.bytes = Self.region([UInt8](repeating: 0, count: 384))
      }
    }
    #expect(words.contains("3 words for rows of 32 are neither 4 nor 8 bits a weight"))
  }

  @Test func shapesThatCannotBe() throws {
    for sizes in [[Int64(-1), 32], [0, 32], [Int64.max, Int64.max], [32, 1 << 60]] {
      let text = try Self.failure { source in
        Self.part("weight_shape", of: &source) {
          $0.bytes = Self.region(sizes.withUnsafeBytes { Array($0) })
        }
      }
      #expect(text.contains("states the sizes \(sizes[0]) and \(sizes[1]), which cannot be"))
    }
    // A size that contradicts the configuration is found by it.
    let other = try Self.failure { source in
      Self.part("weight_shape", of: &source) {
        $0.bytes = Self.region([Int64(32), 31].withUnsafeBytes { Array($0) })
      }
    }
    #expect(other.contains("tensor '\(Self.module).weight'"))
  }

  @Test func wrongTypes() throws {
    let packed = try Self.failure { source in
      Self.part("weight_packed", of: &source) { $0.format = .f32 }
    }
    #expect(packed == "folder: tensor '\(Self.module).weight_packed' is stored as f32; expected i32")
    let scale = try Self.failure { source in
      Self.part("weight_scale", of: &source) { $0.format = .i16 }
    }
    #expect(
      scale == "folder: tensor '\(Self.module).weight_scale' is stored as i16; expected f16 or bf16 or f32")
  }

  @Test func scalesThatAreNoNumbers() throws {
    for bits in [UInt16(0x7e00), 0x7c00, 0xfc00] {
      let text = try Self.failure { source in
        Self.part("weight_scale", of: &source) { tensor in
          var bytes = [UInt8](repeating: 1, count: tensor.bytes.count)
          (bytes[6], bytes[7]) = (UInt8(bits & 255), UInt8(bits >> 8))
          tensor.bytes = Self.region(bytes)
        }
      }
      #expect(text.contains("tensor '\(Self.module).weight_scale': scale 3 is "))
    }
  }

  @Test func schemesThatAreNotRead() throws {
    func settings(_ key: String, _ value: JSONValue) throws -> String {
      try Self.failure { source in
        let text = try #require(source.configuration).text()
        let marker = "\"\(key)\":"
        #expect(text.contains(marker))
        var weights = try #require(
          source.configuration?["quantization_config"]?["config_groups"]?["group_0"]?["weights"]?.objectValue)
        weights[key] = value
        var configuration = try #require(source.configuration?.objectValue)
        var method = try #require(configuration["quantization_config"]?.objectValue)
        method["config_groups"] = .object(
          JSONObject([("group_0", .object(JSONObject([("weights", .object(weights))])))]))
        configuration["quantization_config"] = .object(method)
        source.configuration = .object(configuration)
      }
    }
    #expect(
      try settings("symmetric", .bool(false)).contains("compressed-tensors with zero points is not read here")
    )
    #expect(try settings("num_bits", .integer(3)).contains("compressed-tensors of 3 bits is not read here"))
    #expect(
      try settings("type", .string("float")).contains("compressed-tensors of type 'float' is not read here"))
    #expect(try settings("strategy", .string("block")).contains("with strategy 'block' is not read here"))
    let zeros = try Self.failure { source in
      source.tensors.append(
        StoredTensor(
          name: "\(Self.module).weight_zero_point", shape: [4, 1], format: .i32,
          bytes: Self.region([UInt8](repeating: 0, count: 16))))
    }
    #expect(zeros.contains("weight_zero_point': zero points (asymmetric weights) are not read here"))
  }

  @Test func otherMethods() throws {
    let text = try Self.failure { source in
      var configuration = try #require(source.configuration?.objectValue)
      configuration["quantization_config"] = .object(JSONObject([("quant_method", .string("awq"))]))
      source.configuration = .object(configuration)
    }
    #expect(text.contains("quantized already by 'awq'; start from the original checkpoint"))
  }

  @Test func gptqThatIsNotRead() throws {
    let zeros = try Self.failure(.int8_channel, .gptq) { source in
      Self.part("qzeros", of: &source) {
        $0.bytes = Self.region([UInt8](repeating: 9, count: $0.bytes.count))
      }
    }
    #expect(zeros.contains("qzeros': zero points (asymmetric weights) are not read here"))
    let order = try Self.failure(.int4_g32, .own) { _ in }
    #expect(order == "nothing")
    let shape = try Self.failure(.int8_channel, .gptq) { source in
      Self.part("scales", of: &source) { $0.shape = [32, 1] }
    }
    #expect(shape.contains("scales' is 32 × 1; its neighbours ask for 1 × 32"))
    let missing = try Self.failure(.int8_channel, .gptq) {
      $0.tensors.removeAll { $0.name.hasSuffix("q_proj.qzeros") }
    }
    #expect(missing == "folder: tensor '\(Self.module).qzeros' is missing")
  }

  @Test func uniformBlobsThatLie() throws {
    func change(_ body: @escaping ([UInt8]) -> [UInt8]) throws -> String {
      try Self.failure(.uniform8) { source in
        for place in source.tensors.indices
        where source.tensors[place].name == "\(Self.module).weight_uniform" {
          let bytes = body(try PackedTests.bytes(source.tensors[place]))
          source.tensors[place].shape = [bytes.count]
          source.tensors[place].bytes = Self.region(bytes)
        }
      }
    }
    let name = "\(Self.module).weight_uniform"
    #expect(
      try change { Array($0.dropLast()) }.contains("'\(name)': its 1191 bytes do not fit the sizes it states")
    )
    #expect(try change { [255, 255, 255, 255] + $0.dropFirst(4) }.contains("do not fit the sizes it states"))
    #expect(try change { [0, 0, 0, 0] + $0.dropFirst(4) }.contains("do not fit the sizes it states"))
    #expect(try change { _ in [1, 2] }.contains("holds no uniform codes"))
    #expect(
      try change { bytes in
        var bytes = bytes
        (bytes[8 + 32], bytes[8 + 33]) = (0, 0x7c)
        return bytes
      } == "tensor '\(name)': scale 0 is NaN or infinite")
    // Any classes are an order of the columns.
    #expect(
      try change { Array($0.prefix(8)) + [UInt8](repeating: 255, count: 32) + $0.dropFirst(40) } == "nothing")
  }

  /// Activations that are rounded in another way than is run here, and groups that cannot be told apart.
  @Test func roundedActivations() throws {
    func change(_ old: String, _ new: String) throws -> String {
      try Self.failure(.w8a8) { source in
        let text = try #require(source.configuration).text().replacing(old, with: new)
        source.configuration = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
      }
    }
    #expect(try change("no such text", "") == "nothing")
    for (old, new) in [
      ("\"strategy\":\"token\"", "\"strategy\":\"tensor\""), ("\"dynamic\":true", "\"dynamic\":false"),
      ("\"dynamic\":true", "\"dynamic\":\"local\""),
    ] {
      #expect(
        try change(old, new)
          == "folder: compressed-tensors group 'group_0' rounds activations in a way that is not read here (8-bit integers "
          + "are, symmetric, one scale a token, dynamic); start from the original checkpoint")
    }
    let groups = "\"config_groups\":{\"x\":{\"targets\":[\"re:.*[qk]_proj\"],\"input_activations\":null},"
    #expect(
      try change("\"config_groups\":{", groups)
        == "folder: compressed-tensors groups with and without rounded activations are told apart here by names, not by "
        + "'re:.*[qk]_proj'; start from the original checkpoint")
  }

  @Test func fewBitsWithRoundedActivations() throws {
    let text = try Self.failure(.int4_g32) { source in
      let text = try #require(source.configuration).text().replacing(
        "\"input_activations\":null",
        with: "\"input_activations\":{\"num_bits\":8,\"strategy\":\"token\",\"dynamic\":true}")
      source.configuration = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
    }
    #expect(text.contains("4-bit codes with 1 scales a row for activations in 8 bits are not read here"))
  }

  @Test func layoutsThatCannotHoldAFormat() throws {
    func failure(_ checkpoint: Checkpoint, _ layout: PackedLayout?) -> String {
      do {
        _ = try checkpoint.safetensorsContents(layout: layout)
        return "nothing"
      } catch { return "\(error)" }
    }
    let uniform = try PackedTests.quantized(.uniform8)
    #expect(failure(uniform, .gptq).contains("the gptq layout has no uniform codes"))
    let mixed = try PackedTests.quantized(.int4_g32)
    #expect(failure(mixed, .gptq).contains("the gptq layout has one group size a model"))
    var blocks = try PackedTests.quantized(.int8_channel)
    blocks.tensors[0].format = .q8_0
    #expect(failure(blocks, nil).contains("safetensors has no such blocks; use --format gguf"))
    let rounded = try PackedTests.quantized(.w8a8)
    for layout in [PackedLayout.gptq, .own] {
      #expect(failure(rounded, layout).contains("layout cannot say that activations are integers"))
    }
    var embedding = try PackedTests.quantized(.int8_channel)
    embedding.tensors[0].format = .int8_channel
    #expect(failure(embedding, nil).contains("quantizes linear layers; keep the token-embedding in bf16"))
  }
}
