import CKernels
import ModelFiles
import Models
import TensorCore
import Testing

/// A model whose pruned matrices are kept without their zeros, and the same model with them.
@Suite struct WholeRowsTests {
  private static let width = 256

  /// One block of random q8_0 weights; in the first `pruned` of its matrices two of four neighbours are zero.
  private static func model(pruned: Int) throws -> any LanguageModel {
    var generator = SeededGenerator(seed: 9)
    func matrix(_ name: String, rows: Int, isPruned: Bool) -> StoredTensor {
      let bytes = (0..<rows * width / 32).flatMap { _ -> [UInt8] in
        // A scale of 2^-9, 32 codes.
        [0x00, 0x18]
          + (0..<32).map { code in
            isPruned && code % 4 < 2 ? 0 : UInt8.random(in: 0...255, using: &generator)
          }
      }
      return StoredTensor(
        name: name, shape: [rows, width], format: .q8_0, bytes: TensorBytes(ByteRegion(bytes)))
    }
    func norm(_ name: String) -> StoredTensor {
      let ones = (0..<width).flatMap { _ -> [UInt8] in [0x80, 0x3F] }
      return StoredTensor(name: name, shape: [width], format: .bf16, bytes: TensorBytes(ByteRegion(ones)))
    }
    let block = "model.layers.0."
    let names = [
      "self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj", "self_attn.v_proj", "mlp.gate_proj",
    ]
    var source = ModelSource(
      container: .safetensors, path: "", files: [],
      tensors: (names + ["mlp.up_proj", "self_attn.o_proj"]).enumerated().map { place, name in
        matrix(block + name + ".weight", rows: width, isPruned: place < pruned)
      } + [
        norm(block + "input_layernorm.weight"), norm(block + "post_attention_layernorm.weight"),
        norm("model.norm.weight"), matrix("model.embed_tokens.weight", rows: 64, isPruned: false),
      ])
    source.configuration = .object(
      JSONObject([
        ("architectures", .array([.string("LlamaForCausalLM")])), ("model_type", .string("llama")),
        ("hidden_act", .string("silu")), ("hidden_size", .integer(width)),
        ("intermediate_size", .integer(width)), ("num_hidden_layers", .integer(1)),
        ("num_attention_heads", .integer(4)), ("num_key_value_heads", .integer(4)),
        ("max_position_embeddings", .integer(64)), ("vocab_size", .integer(64)),
        ("rms_norm_eps", .number(1e-5)), ("rope_theta", .number(10000)), ("tie_word_embeddings", .bool(true)),
      ]))
    guard case .language(let model) = try Checkpoint.load(source).makeModel() else {
      throw ModelError(.unsupported, "", "no language model")
    }
    return model
  }

  @Test func denseModelsHaveNothingToStore() throws {
    #expect(try Self.model(pruned: 0).withWholeRows() == nil)
  }

  @Test(.enabled(if: ck_multiplies_halves() == 1, "half rows are multiplied by AVX-512 VBMI"))
  func theSameModelWithItsZeros() throws {
    let model = try Self.model(pruned: 3)
    let whole = try #require(model.withWholeRows())
    let matrix = Self.width * Self.width / 32 * 34
    #expect(whole.bytesPerToken - model.bytesPerToken == 3 * (matrix - Self.width * 176))
    #expect(whole.withWholeRows() == nil)
    // Batches multiply whole rows in both; a token's sums are taken in another order.
    let tokens = (0..<20).map { $0 * 3 % 64 }
    func logits(_ model: any LanguageModel, _ tokens: [Int]) -> [Float] {
      model.forward(tokens, cache: model.makeCache(capacity: 32), logits: .from(0)).elements
    }
    #expect(logits(model, tokens) == logits(whole, tokens))
    let (one, other) = (logits(model, [5]), logits(whole, [5]))
    let largest = one.reduce(0) { max($0, abs($1)) }
    #expect(largest > 0.01 && zip(one, other).allSatisfy { abs($0 - $1) < 1e-3 * largest })
  }
}
