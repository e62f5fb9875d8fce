import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// A checkpoint written as GGUF and read again is the same checkpoint.
@Suite struct GGUFRoundTripTests {
  @Test(arguments: TinyModel.language)
  func decoderSurvives(_ name: String) throws {
    let original = try TinyModel.checkpoint(name)
    let again = try Checkpoint.load(TinyModel.throughGGUF(original))
    #expect(again.tensors.map(\.name) == original.tensors.map(\.name))
    #expect(again.isTied == original.isTied)
    for (found, expected) in zip(again.tensors, original.tensors) {
      #expect(found.shape == expected.shape)
      #expect(try found.values() == expected.values(), "\(found.name)")
    }
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let error = relativeError(logits(try languageModel(again), reference.ids[0]), reference.values)
    #expect(error < ForwardTests.tolerance, "\(name): \(error)")
  }

  @Test(arguments: TinyModel.encoders)
  func encoderSurvives(_ name: String) throws {
    let original = try TinyModel.checkpoint(name)
    let again = try Checkpoint.load(TinyModel.throughGGUF(original))
    #expect(again.tensors.map(\.name) == original.tensors.map(\.name))
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let error = relativeError(try encoderModel(again).embed(reference.ids), reference.values)
    #expect(error < ForwardTests.tolerance, "\(name): \(error)")
  }

  /// Within each head of 8 rows, GGUF's rows are 0 4 1 5 2 6 3 7 of the checkpoint's.
  @Test func queryRowsAreInterleaved() throws {
    let llama = try #require(try TinyModel.checkpoint("llama-tied").architecture)
    let order = try #require(llama.ggufRowOrder(of: "model.layers.0.self_attn.q_proj.weight"))
    #expect(Array(order[..<16]) == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15])
    #expect(llama.ggufRowOrder(of: "model.layers.0.self_attn.v_proj.weight") == nil)
    let qwen = try #require(try TinyModel.checkpoint("qwen2").architecture)
    #expect(qwen.ggufRowOrder(of: "model.layers.0.self_attn.q_proj.weight") == nil)
  }

  @Test func llama3ScalingBecomesATableAndBack() throws {
    let contents = try TinyModel.checkpoint("llama-llama3").ggufContents()
    let table = try #require(contents.tensors.first { $0.name == "rope_freqs.weight" })
    #expect(table.shape == [8] && table.format == .f32)
    let scaling = try Checkpoint.load(TinyModel.throughGGUF(TinyModel.checkpoint("llama-llama3")))
      .configuration["rope_scaling"]
    #expect(scaling?["rope_type"]?.stringValue == "llama3")
    #expect(scaling?["factor"]?.doubleValue == 8)
    #expect(scaling?["original_max_position_embeddings"]?.intValue == 32)
  }

  @Test func vectorsAreStoredAs32BitFloats() throws {
    let contents = try TinyModel.checkpoint("qwen2").ggufContents()
    for tensor in contents.tensors where tensor.shape.count == 1 { #expect(tensor.format == .f32) }
    let query = try #require(contents.tensors.first { $0.name == "blk.0.attn_q.weight" })
    #expect(query.format == .bf16)
  }

  @Test func metadataIsWhatLlamaCppReads() throws {
    let metadata = try TinyModel.checkpoint("llama-yarn").ggufContents().metadata
    #expect(metadata.first == GGUFEntry("general.architecture", .string("llama")))
    #expect(metadata["llama.attention.head_count_kv"] == .uint32(2))
    #expect(metadata["llama.attention.key_length"] == .uint32(16))
    #expect(metadata["llama.rope.scaling.type"] == .string("yarn"))
    #expect(metadata["llama.rope.scaling.factor"] == .float32(4))
    #expect(metadata["llama.rope.scaling.original_context_length"] == .uint32(16))
    #expect(metadata["llama.rope.scaling.attn_factor"] == nil)
    let bert = try TinyModel.checkpoint("bert-cls").ggufContents().metadata
    #expect(bert["bert.pooling_type"] == .uint32(2))
    #expect(bert["bert.attention.causal"] == .bool(false))
    #expect(bert["tokenizer.ggml.token_type_count"] == .uint32(2))
  }

  /// 8-bit weights with activations quantized to 8 bits stay near the float model.
  @Test(arguments: ["llama-tied", "mistral", "qwen3"])
  func quantizedModelIsClose(_ name: String) throws {
    var checkpoint = try TinyModel.checkpoint(name)
    for index in checkpoint.tensors.indices where checkpoint.tensors[index].rowLength % 32 == 0 {
      let tensor = checkpoint.tensors[index]
      guard tensor.shape.count == 2 else { continue }
      let bytes = try TensorCoding.reencode(
        tensor.bytes.load(), from: tensor.format, to: .q8_0, rows: tensor.rowCount, columns: tensor.rowLength)
      checkpoint.tensors[index] = StoredTensor(
        name: tensor.name, shape: tensor.shape, format: .q8_0, bytes: TensorBytes(bytes))
    }
    #expect(!checkpoint.quantizedTensorNames.isEmpty)
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let found = logits(try languageModel(checkpoint), reference.ids[0])
    let error = relativeError(found, reference.values)
    #expect(error < 0.1, "\(name): \(error)")
    #expect(error > 1e-5, "\(name): \(error)")
    let again = try Checkpoint.load(TinyModel.throughGGUF(checkpoint))
    #expect(logits(try languageModel(again), reference.ids[0]) == found)
  }
}
