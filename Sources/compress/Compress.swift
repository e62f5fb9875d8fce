import ArgumentParser

@main
struct Compress: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Makes models smaller, and proves what it cost.")
}
