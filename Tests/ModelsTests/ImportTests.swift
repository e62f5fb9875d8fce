import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// What importing refuses, ties, leaves out and says.
@Suite struct ImportTests {
  /// The error of loading a changed "llama-tied".
  private func failure(
    _ name: String = "llama-tied", _ change: (inout ModelSource) throws -> Void
  ) throws -> ModelError? {
    var source = try TinyModel.source(name)
    try change(&source)
    do {
      _ = try Checkpoint.load(source)
      return nil
    } catch let error as ModelError { return error }
  }

  private func set(_ key: String, _ value: JSONValue?, in source: inout ModelSource) {
    var object = source.configuration?.objectValue ?? JSONObject()
    object[key] = value
    source.configuration = .object(object)
  }

  @Test func missingTensorIsNamed() throws {
    let error = try failure { $0.tensors.removeAll { $0.name == "model.layers.1.mlp.up_proj.weight" } }
    #expect(error?.reason == .missingTensor)
    #expect(error?.message.contains("'model.layers.1.mlp.up_proj.weight'") == true)
  }

  @Test func wrongShapeNamesBoth() throws {
    let error = try failure { set("intermediate_size", .integer(40), in: &$0) }
    #expect(error?.reason == .wrongShape)
    #expect(error?.message.contains("'model.layers.0.mlp.gate_proj.weight' is 48 × 32") == true)
    #expect(error?.message.contains("40 × 32") == true)
  }

  @Test func strayTensorIsRefused() throws {
    let error = try failure { source in
      source.tensors.append(StoredTensor(name: "model.layers.0.extra.weight", vector: [1, 2]))
    }
    #expect(error?.message.contains("'model.layers.0.extra.weight' (2)") == true)
  }

  @Test func contradictionsInTheConfigurationAreRefused() throws {
    let heads = try failure { set("num_key_value_heads", .integer(3), in: &$0) }
    #expect(heads?.reason == .badConfiguration)
    let layers = try failure { set("num_hidden_layers", .integer(1 << 40), in: &$0) }
    #expect(layers?.message.contains("'num_hidden_layers'") == true)
    let width = try failure { set("hidden_size", .string("wide"), in: &$0) }
    #expect(width?.message.contains("'hidden_size' is \"wide\"") == true)
    let context = try failure("llama-yarn") {
      set("original_max_position_embeddings", .number(1e300), in: &$0)
    }
    #expect(context?.message.contains("'original_max_position_embeddings'") == true)
    let none = try failure { set("hidden_size", nil, in: &$0) }
    #expect(none?.message.contains("no 'hidden_size'") == true)
  }

  @Test func quantizedCheckpointsOfOthersAreRefused() throws {
    let error = try failure {
      set("quantization_config", .object(JSONObject([("quant_method", .string("awq"))])), in: &$0)
    }
    #expect(error?.message.contains("'awq'") == true)
  }

  @Test func tiedOutputThatDiffersIsRefused() throws {
    let error = try failure("llama-mqa") { set("tie_word_embeddings", .bool(true), in: &$0) }
    #expect(error?.reason == .badConfiguration)
    #expect(error?.message.contains("tie_word_embeddings") == true)
  }

  @Test func missingOutputIsAnErrorOnlyWhenUntied() throws {
    let error = try failure("llama-mqa") { $0.tensors.removeAll { $0.name == "lm_head.weight" } }
    #expect(error?.reason == .missingTensor)
    var source = try TinyModel.source("llama-tied")
    set("tie_word_embeddings", nil, in: &source)
    let tied = try Checkpoint.load(source)
    #expect(tied.isTied && tied.configuration["tie_word_embeddings"]?.boolValue == true)
  }

  @Test func equalOutputIsStoredOnce() throws {
    var source = try TinyModel.source("llama-tied")
    set("tie_word_embeddings", .bool(false), in: &source)
    var output = try #require(source.tensors.first { $0.name == "model.embed_tokens.weight" })
    output.name = "lm_head.weight"
    source.tensors.append(output)
    let checkpoint = try Checkpoint.load(source)
    #expect(checkpoint.isTied)
    #expect(checkpoint.tensor("lm_head.weight") == nil)
  }

  @Test func buffersAreLeftOutWithANote() throws {
    var source = try TinyModel.source("llama-tied")
    source.tensors.append(
      StoredTensor(name: "model.layers.0.self_attn.rotary_emb.inv_freq", vector: [1, 0.5]))
    let checkpoint = try Checkpoint.load(source)
    #expect(checkpoint.notes.contains { $0.contains("rotary_emb.inv_freq: a buffer") })
  }

  @Test func bareModelsGetTheirPrefix() throws {
    var source = try TinyModel.source("llama-tied")
    for index in source.tensors.indices {
      source.tensors[index].name = String(source.tensors[index].name.dropFirst("model.".count))
    }
    #expect(
      try Checkpoint.load(source).tensors.map(\.name)
        == TinyModel.checkpoint("llama-tied").tensors.map(\.name))
  }

  @Test func unknownArchitectureKeepsItsNames() throws {
    var source = try TinyModel.source("llama-tied")
    set("model_type", .string("novel"), in: &source)
    source.tensors.append(StoredTensor(name: "extra.bias", vector: [1, 2]))
    let checkpoint = try Checkpoint.load(source)
    #expect(checkpoint.architecture == nil)
    #expect(checkpoint.tensors.map(\.name) == source.tensors.map(\.name))
    #expect(checkpoint.notes.contains { $0.contains("unknown architecture 'novel'") })
    #expect(checkpoint.role(of: "model.layers.0.self_attn.q_proj.weight") == .query)
    #expect(checkpoint.role(of: "extra.bias") == .bias)
    guard case .none = try checkpoint.makeModel() else {
      Issue.record("it cannot be run")
      return
    }
  }

  @Test(arguments: [
    ("hidden_act", JSONValue.string("gelu"), "gelu"),
    ("partial_rotary_factor", .number(0.5), "partial_rotary_factor"),
    (
      "rope_parameters", .object(JSONObject([("rope_type", .string("dynamic")), ("factor", .number(2))])),
      "dynamic"
    ),
  ])
  func featuresThatAreNotRunAreNamed(_ key: String, _ value: JSONValue, _ word: String) throws {
    var source = try TinyModel.source("llama-tied")
    set(key, value, in: &source)
    let checkpoint = try Checkpoint.load(source)
    #expect(checkpoint.architecture == nil)
    #expect(checkpoint.notes.contains { $0.contains(word) && $0.contains("not evaluated") })
  }

  @Test func withoutConfigurationTheNoteSaysWhatIsMissing() throws {
    var source = try TinyModel.source("llama-tied")
    source.configuration = nil
    let note = try #require(try Checkpoint.load(source).notes.first { $0.contains("no config.json") })
    #expect(note.contains("2 layers, width 32, vocabulary 64") && note.contains("number of heads"))
  }

  /// `rope_scaling` and `rope_theta` mean what `rope_parameters` means.
  @Test(arguments: ["llama-linear", "llama-llama3", "llama-yarn"])
  func olderRotaryKeysAreRead(_ name: String) throws {
    var source = try TinyModel.source(name)
    let parameters = try #require(source.configuration?["rope_parameters"])
    set("rope_parameters", nil, in: &source)
    set("rope_scaling", parameters, in: &source)
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let found = logits(try languageModel(Checkpoint.load(source)), reference.ids[0])
    #expect(relativeError(found, reference.values) < ForwardTests.tolerance)
  }
}
