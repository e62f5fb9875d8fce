import ModelFiles
import Models
import Passes
import TensorCore
import Testing

/// What each loader takes, line by line.
@Suite struct LoaderTests {
  /// A llama of one block without bytes: rules look at names, roles and formats only.
  static func checkpoint(_ formats: [String: TensorFormat]) throws -> Checkpoint {
    let configuration = JSONValue.object(
      JSONObject([
        ("model_type", .string("llama")), ("hidden_size", .integer(64)), ("intermediate_size", .integer(64)),
        ("num_hidden_layers", .integer(1)), ("num_attention_heads", .integer(2)),
        ("vocab_size", .integer(64)),
      ]))
    let architecture = try #require(ArchitectureList.named("llama")).init(configuration: configuration)
    let tensors = architecture.requiredTensors.map { name, shape in
      let part = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
      return StoredTensor(
        name: name, shape: shape, format: formats[part] ?? .bf16, bytes: TensorBytes(ByteRegion([])))
    }
    return Checkpoint(
      name: "tiny", architecture: architecture, configuration: configuration, tensors: tensors, isTied: true,
      tokenizer: nil, source: ModelSource(container: .safetensors, path: "tiny", files: [], tensors: []))
  }

  static func refusal(
    _ loader: Loader, _ formats: [String: TensorFormat], _ container: OutputContainer,
    _ layout: PackedLayout? = nil
  ) throws -> String? {
    do {
      try LoaderRules.of(loader).check(try checkpoint(formats), in: container, layout: layout)
      return nil
    } catch { return "\(error)" }
  }

  static let four = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
  static func all(_ format: TensorFormat) -> [String: TensorFormat] {
    Dictionary(uniqueKeysWithValues: four.map { ($0, format) })
  }

  @Test(arguments: [Loader.vllm, .transformers])
  func groupsAndRowsAreTaken(_ loader: Loader) throws {
    for format in [TensorFormat.int4_g32, .int4_g64, .int4_g128, .int8_channel] {
      #expect(try Self.refusal(loader, Self.all(format), .safetensors, .compressedTensors) == nil)
      #expect(try Self.refusal(loader, Self.all(format), .safetensors, .gptq) == nil)
    }
    #expect(try Self.refusal(loader, Self.all(.w8a8), .safetensors, .compressedTensors) == nil)
    #expect(try Self.refusal(loader, [:], .safetensors) == nil)
    #expect(
      try Self.refusal(loader, Self.all(.uniform8), .safetensors, .own)
        == "\(loader.rawValue) does not load 'model.layers.0.self_attn.q_proj.weight' as uniform8: "
        + "it takes int4.g128, int4.g64, int4.g32, int8.channel and w8a8")
    #expect(
      try Self.refusal(loader, Self.all(.q8_0), .gguf)
        == "\(loader.rawValue) loads safetensors, not gguf: leave --format out")
    #expect(
      try Self.refusal(loader, Self.all(.int8_channel), .safetensors, .own)?.contains("the compress layout")
        == true)
  }

  @Test func vllmFusesLayers() throws {
    var formats = Self.all(.int4_g128)
    formats["k_proj"] = .int4_g64
    #expect(
      try Self.refusal(.vllm, formats, .safetensors, .compressedTensors)
        == "vllm fuses 'model.layers.0.self_attn.q_proj.weight' (int4.g128) and "
        + "'model.layers.0.self_attn.k_proj.weight' (int4.g64): store them alike")
    #expect(try Self.refusal(.transformers, formats, .safetensors, .compressedTensors) == nil)
    formats = Self.all(.int4_g128)
    formats["up_proj"] = .bf16
    #expect(try Self.refusal(.vllm, formats, .safetensors, .compressedTensors)?.contains("gate_proj") == true)
    formats = Self.all(.int4_g128)
    formats["down_proj"] = .int8_channel
    #expect(try Self.refusal(.vllm, formats, .safetensors, .compressedTensors) == nil)
  }

  @Test func othersTakeTheirOwn() throws {
    #expect(try Self.refusal(.llamaCpp, Self.all(.q4_k), .gguf) == nil)
    #expect(
      try Self.refusal(.llamaCpp, [:], .safetensors)
        == "llama.cpp loads gguf, not safetensors: leave --format out")
    #expect(try Self.refusal(.mlx, [:], .safetensors) == nil)
    #expect(
      try Self.refusal(.mlx, Self.all(.int4_g64), .safetensors, .compressedTensors)?.contains(
        "only floats are written") == true)
  }

  @Test func widthsAreFormatsOfTheContainer() throws {
    var recipe = Recipe(stages: [QuantizePass(.int4), QuantizePass(.int8), QuantizePass(.format(.f16))])
    #expect(recipe.resolved().name == "int4-int8-f16")
    recipe.container = .safetensors
    #expect(recipe.resolved().name == "int4.g128-int8.channel-f16")
    let read = try Recipe(yaml: "for: vllm\nstages:\n  - quantize: {format: int4}\n", path: "r")
    #expect(read.container == .safetensors)
    #expect(try Recipe(yaml: "for: llama.cpp\n", path: "r").container == .gguf)
  }

  /// Embedding and output stay as they are; rows that do not divide get smaller groups, and the report says so.
  @Test func linearLayersOnly() throws {
    let plan = try QuantizePass(.format(.int4_g128)).plan(for: try Self.checkpoint([:]))
    #expect(plan.entries.first { $0.role == .tokenEmbedding }?.to == .bf16)
    #expect(plan.entries.filter { $0.role.isLinear }.allSatisfy { $0.to == .int4_g64 })
    #expect(plan.notes.contains { $0.contains("rows of 64 do not divide by 128") })
  }
}
