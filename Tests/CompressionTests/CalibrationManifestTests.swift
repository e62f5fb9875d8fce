import Foundation
import ModelFiles
import Testing

/// The shipped model and texts are those of `Calibration/manifest.json`, and each of them is in it.
@Suite("Calibration manifest")
struct CalibrationManifestTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Calibration").path

  private func files() throws -> JSONObject {
    let data = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/manifest.json"))
    let manifest = try JSONValue(parsing: String(decoding: data, as: UTF8.self))
    return try #require(manifest["files"]?.objectValue)
  }

  @Test("every file has the size and the SHA-256 that the manifest states")
  func hashes() throws {
    for (name, entry) in try files().members {
      let path = Self.folder + "/" + name
      let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
      #expect(size == entry["bytes"]?.intValue, "\(name)")
      #expect(try FileHash.sha256(ofFile: path) == entry["sha256"]?.stringValue, "\(name)")
    }
  }

  @Test("no shipped file is left out of the manifest")
  func completeness() throws {
    let listed = Set(try files().members.map(\.key))
    let found = try FileManager.default.subpathsOfDirectory(atPath: Self.folder).filter { name in
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: Self.folder + "/" + name, isDirectory: &isFolder)
      return !isFolder.boolValue && !name.contains("__pycache__")
    }
    #expect(Set(found).subtracting(["README.md", "manifest.json"]) == listed)
  }

  @Test("evaluation text shares no seed with calibration text")
  func disjointSeeds() throws {
    let files = try files()
    let ranges = try ["calibration.txt", "evaluation.txt"].map { name in
      let pair = try #require(files[name]?["generator"]?["seeds"]?.arrayValue)
      let seeds = pair.compactMap(\.intValue)
      try #require(seeds.count == 2)
      return seeds[0]...seeds[1]
    }
    #expect(!ranges[0].overlaps(ranges[1]))
  }
}
